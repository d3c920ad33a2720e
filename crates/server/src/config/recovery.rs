//! `projects[].recovery`: the hosted pages on which a customer chooses a new password, and how they look. Absent: there
//! are none.

use std::path::PathBuf;
use std::str::FromStr;

use keyherald_core::id::NotAnId;
use url::{Host, Url};

use super::keys::{Keys, Section};
use super::{Otp, Rates};

/// Most addresses that customers can be sent back to.
const RETURN_URLS_MAX: usize = 100;

/// `projects[].recovery`
#[derive(Clone, Debug)]
pub struct Recovery {
    /// Whether the pages are served.
    pub enabled: bool,
    /// What customers know the project by. Absent: the sender of its mail, or its name.
    pub name: Option<String>,
    /// The one colour of the pages, for buttons and links.
    pub colour: Colour,
    /// A picture in the place of the name: SVG, PNG or WebP.
    pub logo_file: Option<PathBuf>,
    /// The same where the page is dark.
    pub logo_dark_file: Option<PathBuf>,
    /// Where customers may be sent in the end ([`ReturnUrl::among`]). The first one is where the last page leads, unless a
    /// partner has named another.
    pub return_urls: Vec<ReturnUrl>,
    /// Codes, and how many; of a brand, its own count.
    pub otp: Otp,
    /// What one source and all visitors together may do; of a brand, its own count.
    pub limits: Rates,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            enabled: true,
            name: None,
            colour: Colour { red: 0x1f, green: 0x4f, blue: 0xd8 },
            logo_file: None,
            logo_dark_file: None,
            return_urls: Vec::new(),
            otp: Otp::default(),
            limits: Rates::default(),
        }
    }
}

impl Section for Recovery {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.value("enabled", &mut self.enabled);
        keys.optional("name", &mut self.name);
        keys.value("colour", &mut self.colour);
        keys.optional("logo_file", &mut self.logo_file);
        keys.optional("logo_dark_file", &mut self.logo_dark_file);
        keys.list("return_urls", &mut self.return_urls, 0..=RETURN_URLS_MAX);
        keys.section("otp", &mut self.otp);
        keys.section("limits", &mut self.limits);
        if self.logo_dark_file.is_some() && self.logo_file.is_none() {
            keys.refuse("logo_dark_file", "takes the place of logo_file on dark pages, and there is none", None);
        }
    }
}

/// A colour as `#1f4fd8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    /// 0 to 255, as the others.
    pub red: u8,
    /// Green.
    pub green: u8,
    /// Blue.
    pub blue: u8,
}

impl FromStr for Colour {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.is_ascii()).ok_or(NotAnId)?;
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).map_err(|_| NotAnId)?.to_be_bytes();
        // `from_str_radix` would take a sign.
        if digits.starts_with('+') { Err(NotAnId) } else { Ok(Self { red, green, blue }) }
    }
}

impl std::fmt::Display for Colour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

/// An address that customers can be sent back to: `https://`, or `http://` on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnUrl(Url, String);

impl ReturnUrl {
    /// Longest address: it goes into a link and into a cookie.
    pub const BYTES_MAX: usize = 1000;

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.1
    }

    /// Scheme, host and port, as a content security policy names them.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The address of this list that is written exactly so: the only way in which a caller's or a browser's words become an
    /// address that somebody is sent to.
    pub fn among<'a>(list: &'a [Self], text: &str) -> Option<&'a Self> {
        list.iter().find(|url| url.1 == text)
    }

    /// With `status=..` in its query.
    pub fn with_status(&self, status: &str) -> String {
        self.with(&[("status", status)])
    }

    /// With `status=success` in its query, and the token with which the customer is signed in.
    pub fn signed_in(&self, token: &str) -> String {
        self.with(&[("status", "success"), ("token", token)])
    }

    fn with(&self, members: &[(&str, &str)]) -> String {
        let mut url = self.0.clone();
        url.query_pairs_mut().extend_pairs(members);
        url.into()
    }
}

impl FromStr for ReturnUrl {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let url = Url::parse(text).map_err(|_| NotAnId)?;
        let is_local = match url.host().ok_or(NotAnId)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_local);
        let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if is_safe && is_plain && text.len() <= Self::BYTES_MAX { Ok(Self(url, text.to_owned())) } else { Err(NotAnId) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!("#1F4fd8".parse::<Colour>().unwrap().to_string(), "#1f4fd8");
        for wrong in ["", "1f4fd8", "#1f4fd", "#1f4fd88", "#1f4fdg", "#+f4fd8", "#ä4fd8", "red"] {
            assert!(wrong.parse::<Colour>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_is_sent_to_an_open_place() {
        let url: ReturnUrl = "https://shop.example/back?x=1".parse().unwrap();
        assert_eq!(url.with_status("success"), "https://shop.example/back?x=1&status=success");
        assert_eq!(url.signed_in("a&b"), "https://shop.example/back?x=1&status=success&token=a%26b");
        assert_eq!(url.origin(), "https://shop.example");
        let list = [url];
        assert!(ReturnUrl::among(&list, "https://shop.example/back?x=1").is_some());
        for other in
            ["https://shop.example/back?x=1&y=2", "https://shop.example/back", "https://SHOP.example/back?x=1", ""]
        {
            assert!(ReturnUrl::among(&list, other).is_none(), "{other}");
        }
        assert!(format!("https://shop.example/{}", "x".repeat(1000)).parse::<ReturnUrl>().is_err());
        assert!("http://127.0.0.1:3000/".parse::<ReturnUrl>().is_ok());
        for wrong in
            ["http://shop.example/", "javascript:alert(1)", "https://a@b.example/", "https://b.example/#x", "/x"]
        {
            assert!(wrong.parse::<ReturnUrl>().is_err(), "{wrong}");
        }
    }
}
