//! Which fields can be asked for, and of what type they are.
//!
//! A list names what the store has columns for; a field that is missing here "does not exist", and one that is here
//! but has no column is a fault when it is asked for.

/// The type of a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text or enum.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// A date-time, compared as an instant.
    DateTime,
    /// A calendar date, `YYYY-MM-DD`.
    Date,
}

/// What lies under a field's name.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A plain value.
    One(Type),
    /// An array of plain values.
    Many(Type),
    /// An object with these fields.
    Object(&'static [Field]),
    /// An array of objects with these fields.
    Objects(&'static [Field]),
}

/// A field that predicates, and sorts if it is a plain value, can name.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in its object.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
}

impl Field {
    const fn new(name: &'static str, shape: Shape) -> Self {
        Self { name, shape }
    }

    /// A text or enum.
    pub const fn text(name: &'static str) -> Self {
        Self::new(name, Shape::One(Type::Text))
    }

    /// A whole number.
    pub const fn integer(name: &'static str) -> Self {
        Self::new(name, Shape::One(Type::Integer))
    }

    /// `true` or `false`.
    pub const fn boolean(name: &'static str) -> Self {
        Self::new(name, Shape::One(Type::Boolean))
    }

    /// A date-time.
    pub const fn date_time(name: &'static str) -> Self {
        Self::new(name, Shape::One(Type::DateTime))
    }

    /// A calendar date.
    pub const fn date(name: &'static str) -> Self {
        Self::new(name, Shape::One(Type::Date))
    }

    /// An array of plain values.
    pub const fn many(name: &'static str, of: Type) -> Self {
        Self::new(name, Shape::Many(of))
    }

    /// An object.
    pub const fn object(name: &'static str, fields: &'static [Self]) -> Self {
        Self::new(name, Shape::Object(fields))
    }

    /// An array of objects.
    pub const fn objects(name: &'static str, fields: &'static [Self]) -> Self {
        Self::new(name, Shape::Objects(fields))
    }

    /// The field `name` among `fields`.
    pub(super) fn named(fields: &'static [Self], name: &str) -> Option<&'static Self> {
        fields.iter().find(|field| field.name == name)
    }
}

/// Messages, in queries and in subscriptions: the eight that the contract allows.
pub static MESSAGES: &[Field] = &[
    Field::text("id"),
    Field::integer("version"),
    Field::date_time("createdAt"),
    Field::date_time("lastModifiedAt"),
    Field::integer("sequenceNumber"),
    Field::object("resource", &[Field::text("typeId"), Field::text("id")]),
    Field::integer("resourceVersion"),
    Field::text("type"),
];

/// What a subscription's filter can name: the fields of messages and changes as they are delivered (commercetools.md 7.1,
/// 7.2, 8.3). Which of them a message has, its type says; what is not there is absent. Without a token's value.
pub static NOTICES: &[Field] = &[
    Field::text("notificationType"),
    Field::text("id"),
    Field::integer("version"),
    Field::integer("sequenceNumber"),
    Field::object("resource", REFERENCE),
    Field::integer("resourceVersion"),
    Field::object(
        "resourceUserProvidedIdentifiers",
        &[Field::text("key"), Field::text("externalId"), Field::text("customerNumber")],
    ),
    Field::text("type"),
    Field::date_time("createdAt"),
    Field::date_time("lastModifiedAt"),
    Field::integer("oldVersion"),
    Field::date_time("modifiedAt"),
    Field::boolean("dataErasure"),
    Field::boolean("reset"),
    Field::text("customerId"),
    Field::date_time("expiresAt"),
    Field::boolean("invalidateOlderTokens"),
    Field::object("customer", CUSTOMERS),
    Field::text("email"),
    Field::text("oldEmail"),
    Field::text("externalId"),
    Field::objects("stores", STORE),
    Field::objects("oldStores", STORE),
    Field::text("firstName"),
    Field::text("lastName"),
    Field::text("title"),
    Field::text("companyName"),
    Field::date("dateOfBirth"),
    Field::object("address", ADDRESS),
    Field::many("addressRoles", Type::Text),
];

static STORE: &[Field] = &[Field::text("typeId"), Field::text("key")];

/// A ClientLogging (commercetools.md 7.5).
static INITIATOR: &[Field] = &[
    Field::text("clientId"),
    Field::boolean("isPlatformClient"),
    Field::text("externalUserId"),
    Field::text("anonymousId"),
    Field::object("customer", REFERENCE),
];

static REFERENCE: &[Field] = &[Field::text("typeId"), Field::text("id")];

/// A BaseAddress.
static ADDRESS: &[Field] = &[
    Field::text("id"),
    Field::text("key"),
    Field::text("country"),
    Field::text("title"),
    Field::text("salutation"),
    Field::text("firstName"),
    Field::text("lastName"),
    Field::text("streetName"),
    Field::text("streetNumber"),
    Field::text("additionalStreetInfo"),
    Field::text("postalCode"),
    Field::text("city"),
    Field::text("region"),
    Field::text("state"),
    Field::text("company"),
    Field::text("department"),
    Field::text("building"),
    Field::text("apartment"),
    Field::text("pOBox"),
    Field::text("phone"),
    Field::text("mobile"),
    Field::text("email"),
    Field::text("fax"),
    Field::text("additionalAddressInfo"),
    Field::text("externalId"),
];

/// Customers: what is in responses (commercetools.md 2.3) but `custom`, which there is not, and `password`, which must
/// not be asked for; and `lowercaseEmail`, which is not in responses.
pub static CUSTOMERS: &[Field] = &[
    Field::text("id"),
    Field::integer("version"),
    Field::date_time("createdAt"),
    Field::date_time("lastModifiedAt"),
    Field::object("createdBy", INITIATOR),
    Field::object("lastModifiedBy", INITIATOR),
    Field::text("email"),
    Field::text("lowercaseEmail"),
    Field::boolean("isEmailVerified"),
    Field::text("authenticationMode"),
    Field::text("key"),
    Field::text("externalId"),
    Field::text("customerNumber"),
    Field::text("firstName"),
    Field::text("lastName"),
    Field::text("middleName"),
    Field::text("title"),
    Field::text("salutation"),
    Field::date("dateOfBirth"),
    Field::text("companyName"),
    Field::text("vatId"),
    Field::text("locale"),
    Field::objects("addresses", ADDRESS),
    Field::text("defaultShippingAddressId"),
    Field::text("defaultBillingAddressId"),
    Field::many("shippingAddressIds", Type::Text),
    Field::many("billingAddressIds", Type::Text),
    Field::objects("stores", STORE),
    Field::object("customerGroup", REFERENCE),
    Field::objects("customerGroupAssignments", &[Field::object("customerGroup", REFERENCE)]),
];
