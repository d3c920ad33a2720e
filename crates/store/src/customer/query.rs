//! Customers by any of their fields, a page at a time.
//!
//! What callers look customers up by has a column and an index. The rest is kept in JSON columns and taken apart by the
//! engine, row by row: such a condition narrows what an index has found, or goes through all customers of the project
//! until the statement's time is up.
//!
//! A store's customers are found by their claims on their address, of which there is one per store
//! ([`claim`](crate::claim)): its index has them in the order of their ids.

use keyherald_core::customer::Customer;
use keyherald_core::filter::{Comparison, Filter, Kind, Scalar, Test};
use keyherald_core::id::{Key, ProjectKey};

use super::read;
use crate::filter::Column;
use crate::listing::Source;
use crate::{Fault, Listing, Page, Tx};

/// A text in a JSON object, the first `$name` of the column `$in`.
macro_rules! json_text {
    ($path:literal, $in:literal, $name:literal) => {
        Column::new($path, Kind::Text, concat!($in, " ->> '$.", $name, "'"))
            .on_postgres(concat!("(", $in, "::json ->> '", $name, "') COLLATE \"C\""))
            .nullable()
    };
}

/// A text of the profile.
macro_rules! profile {
    ($path:literal, $name:literal) => {
        json_text!($path, "c.profile", $name)
    };
}

/// A text of an address that the caller may give: kept under its name in the contract.
macro_rules! address {
    ($name:literal) => {
        Column::new($name, Kind::Text, concat!("a.value ->> '$.fields.", $name, "'"))
            .on_postgres(concat!("(a.value -> 'fields' ->> '", $name, "') COLLATE \"C\""))
            .nullable()
    };
}

/// The list of texts `$name` of the profile.
macro_rules! ids {
    ($path:literal, $name:literal) => {
        Column::rows($path, concat!("json_each(c.profile, '$.", $name, "') i"), "1 = 1", ID).on_postgres(concat!(
            "json_array_elements_text(c.profile::json -> '",
            $name,
            "') AS i(value)"
        ))
    };
}

/// An initiator's customer: the object, and the type of the reference. Kept is only the id.
macro_rules! by_customer {
    ($path:literal, $in:literal) => {
        Column::object($path, concat!($in, " ->> '$.customer'")).on_postgres(concat!(
            "(",
            $in,
            "::json ->> 'customer')"
        ))
    };
    ($path:literal, $in:literal, type) => {
        Column::new($path, Kind::Text, concat!("CASE WHEN ", $in, " ->> '$.customer' IS NOT NULL THEN 'customer' END"))
            .on_postgres(concat!(
                "(CASE WHEN (",
                $in,
                "::json ->> 'customer') IS NOT NULL THEN 'customer' END) COLLATE \"C\""
            ))
            .nullable()
    };
}

/// Every field, the customer's id being `$id`: the tables that are asked first have the order.
macro_rules! fields {
    ($id:literal) => {
        &[
            Column::new("id", Kind::Text, $id).unique(),
            // The same value where the other fields are: see `bound_twice`.
            Column::new(ROW_ID, Kind::Text, "c.id"),
            Column::new("version", Kind::Integer, "c.version"),
            Column::new("createdAt", Kind::Instant, "c.created_at"),
            Column::new("lastModifiedAt", Kind::Instant, "c.last_modified_at"),
            Column::object("createdBy", "c.created_by"),
            json_text!("createdBy.clientId", "c.created_by", "client_id"),
            Column::new("createdBy.isPlatformClient", Kind::Boolean, "CAST(0 AS BIGINT)"),
            json_text!("createdBy.externalUserId", "c.created_by", "external_user_id"),
            json_text!("createdBy.anonymousId", "c.created_by", "anonymous_id"),
            by_customer!("createdBy.customer", "c.created_by"),
            by_customer!("createdBy.customer.typeId", "c.created_by", type),
            json_text!("createdBy.customer.id", "c.created_by", "customer"),
            Column::object("lastModifiedBy", "c.last_modified_by"),
            json_text!("lastModifiedBy.clientId", "c.last_modified_by", "client_id"),
            Column::new("lastModifiedBy.isPlatformClient", Kind::Boolean, "CAST(0 AS BIGINT)"),
            json_text!("lastModifiedBy.externalUserId", "c.last_modified_by", "external_user_id"),
            json_text!("lastModifiedBy.anonymousId", "c.last_modified_by", "anonymous_id"),
            by_customer!("lastModifiedBy.customer", "c.last_modified_by"),
            by_customer!("lastModifiedBy.customer.typeId", "c.last_modified_by", type),
            json_text!("lastModifiedBy.customer.id", "c.last_modified_by", "customer"),
            Column::new("email", Kind::Text, "c.email"),
            Column::new("lowercaseEmail", Kind::Text, "c.email_folded"),
            Column::new("isEmailVerified", Kind::Boolean, "c.is_email_verified"),
            Column::new("authenticationMode", Kind::Text, "c.authentication_mode"),
            Column::new("key", Kind::Text, "c.key").nullable(),
            Column::new("externalId", Kind::Text, "c.external_id").nullable(),
            Column::new("customerNumber", Kind::Text, "c.customer_number").nullable(),
            Column::new("firstName", Kind::Text, "c.first_name").nullable(),
            Column::new("lastName", Kind::Text, "c.last_name").nullable(),
            profile!("middleName", "middle_name"),
            profile!("title", "title"),
            profile!("salutation", "salutation"),
            profile!("dateOfBirth", "date_of_birth"),
            profile!("companyName", "company_name"),
            profile!("vatId", "vat_id"),
            profile!("locale", "locale"),
            profile!("defaultShippingAddressId", "default_shipping_address_id"),
            profile!("defaultBillingAddressId", "default_billing_address_id"),
            ids!("shippingAddressIds", "shipping_address_ids"),
            ids!("billingAddressIds", "billing_address_ids"),
            Column::rows("addresses", "json_each(c.profile, '$.addresses') a", "1 = 1", ADDRESS)
                .on_postgres("json_array_elements(c.profile::json -> 'addresses') AS a(value)"),
            Column::rows(
                "stores",
                "customer_email s",
                "s.project = c.project AND s.customer_id = c.id AND s.store <> ''",
                STORE,
            ),
            // There are no customer groups.
            Column::object("customerGroup", "NULL"),
            Column::new("customerGroup.typeId", Kind::Text, "CAST(NULL AS TEXT)").nullable(),
            Column::new("customerGroup.id", Kind::Text, "CAST(NULL AS TEXT)").nullable(),
            Column::rows("customerGroupAssignments", "(SELECT 1 AS one) g", "1 = 0", GROUP_ASSIGNMENT),
        ]
    };
}

static ID: &[Column] = &[Column::new("", Kind::Text, "i.value").on_postgres("i.value COLLATE \"C\"")];

static STORE: &[Column] = &[
    Column::new("typeId", Kind::Text, "CAST('store' AS TEXT)").on_postgres("CAST('store' AS TEXT) COLLATE \"C\""),
    Column::new("key", Kind::Text, "s.store"),
];

static GROUP_ASSIGNMENT: &[Column] = &[
    Column::object("customerGroup", "NULL"),
    Column::new("customerGroup.typeId", Kind::Text, "CAST(NULL AS TEXT)").nullable(),
    Column::new("customerGroup.id", Kind::Text, "CAST(NULL AS TEXT)").nullable(),
];

static ADDRESS: &[Column] = &[
    json_text!("id", "a.value", "id"),
    json_text!("country", "a.value", "country"),
    address!("key"),
    address!("title"),
    address!("salutation"),
    address!("firstName"),
    address!("lastName"),
    address!("streetName"),
    address!("streetNumber"),
    address!("additionalStreetInfo"),
    address!("postalCode"),
    address!("city"),
    address!("region"),
    address!("state"),
    address!("company"),
    address!("department"),
    address!("building"),
    address!("apartment"),
    address!("pOBox"),
    address!("phone"),
    address!("mobile"),
    address!("email"),
    address!("fax"),
    address!("additionalAddressInfo"),
    address!("externalId"),
];

/// The fields by which customers can be filtered and sorted (commercetools.md 6.3).
pub const QUERY_COLUMNS: &[Column] = fields!("c.id");

/// Version 7 ids are in the order of their creation.
static OF_PROJECT: Source = Source {
    name: "customer::OF_PROJECT",
    selected: columns!(),
    from: concat!(tables!(), "WHERE c.project = $1"),
    columns: QUERY_COLUMNS,
    counted_whole: true,
    creation: &["c.id"],
};

static OF_STORE: Source = Source {
    name: "customer::OF_STORE",
    selected: columns!(),
    from: "FROM customer_email m
           JOIN customer c ON c.project = m.project AND c.id = m.customer_id
           LEFT JOIN credential r ON r.project = c.project AND r.customer_id = c.id
           WHERE m.project = $1 AND m.store = $2 AND m.store <> ''",
    columns: fields!("m.customer_id"),
    counted_whole: true,
    creation: &["m.customer_id"],
};

/// The customer's id in its row. No field of the contract: no path begins with a dot.
const ROW_ID: &str = ".id";

/// A page of a project's customers; of this store's, if there is one.
pub fn page(
    tx: &mut dyn Tx,
    project: &ProjectKey,
    store: Option<&Key>,
    listing: &Listing,
) -> Result<Page<Customer>, Fault> {
    if let Some(store) = store {
        let listing = Listing { filter: bound_twice(listing.filter.clone()), ..listing.clone() };
        return OF_STORE.page(tx, vec![project.into(), store.into()], &listing, read);
    }
    match taken_out(&listing.filter) {
        Some((store, filter)) => {
            let listing = Listing { filter: bound_twice(filter), ..listing.clone() };
            OF_STORE.page(tx, vec![project.into(), store.into()], &listing, read)
        }
        None => OF_PROJECT.page(tx, vec![project.into()], listing, read),
    }
}

/// The filter, its bounds on the id asked of the claim and of the customer: PostgreSQL may merge the two indexes, and
/// would walk the one that has no bound from its beginning.
fn bound_twice(filter: Filter) -> Filter {
    let conditions = if let Filter::And(parts) = &filter { parts.as_slice() } else { std::slice::from_ref(&filter) };
    let bounds: Vec<Filter> = conditions
        .iter()
        .filter_map(|condition| match condition {
            Filter::Test(path, test @ Test::Compare(comparison, _))
                if path.as_str() == "id" && *comparison != Comparison::Equal =>
            {
                Some(Filter::Test(ROW_ID.into(), test.clone()))
            }
            _ => None,
        })
        .collect();
    Filter::all_of([filter].into_iter().chain(bounds))
}

/// The store that every match is in, if the filter names one (`stores(key = "..")`), and what else the filter asks for:
/// whoever is found by a claim in that store need not be asked for it again.
fn taken_out(filter: &Filter) -> Option<(&str, Filter)> {
    match filter {
        Filter::And(parts) => {
            let (place, (store, rest)) =
                parts.iter().enumerate().find_map(|(place, part)| Some((place, taken_out(part)?)))?;
            let others = parts.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, part)| part.clone());
            Some((store, Filter::all_of(others.chain([rest]).filter(|part| *part != Filter::All))))
        }
        Filter::AnyElement(path, part) if path.as_str() == "stores" => match &**part {
            Filter::Test(path, Test::Compare(Comparison::Equal, Scalar::Text(key))) if path.as_str() == "key" => {
                Some((key, Filter::All))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_a_filter_names_is_taken_out_of_it() {
        let test = |path: &str, text: &str| {
            Filter::Test(path.into(), Test::Compare(Comparison::Equal, Scalar::Text(text.into())))
        };
        let of_store = |key: &str| Filter::AnyElement("stores".into(), Box::new(test("key", key)));
        assert_eq!(taken_out(&of_store("a")), Some(("a", Filter::All)));
        let (key, email) = (test("key", "k"), test("email", "e"));
        let nested = Filter::And(vec![key.clone(), Filter::And(vec![of_store("a"), email.clone()])]);
        assert_eq!(taken_out(&nested), Some(("a", Filter::all_of([key.clone(), email]))));
        let two = Filter::And(vec![of_store("a"), of_store("b")]);
        assert_eq!(taken_out(&two), Some(("a", Filter::all_of([of_store("b")]))));
        for none in [key.clone(), Filter::Not(Box::new(of_store("a"))), Filter::Or(vec![of_store("a"), key])] {
            assert_eq!(taken_out(&none), None);
        }
    }
}
