//! `[traces]`: the collector that spans are sent to, and which of them.

use url::Url;

use super::keys::{Keys, Section};
use super::secret::{KeyNames, Secret};

/// The path of OTLP over HTTP.
const PATH: &str = "/v1/traces";
/// Most headers.
const HEADERS_MAX: usize = 16;

/// `[traces]`
#[derive(Clone, Debug)]
pub struct Traces {
    /// Where the collector is: `http://host:4318`, to which `/v1/traces` is added, or the whole URL. Absent: no spans are made, and
    /// callers' contexts are passed on as they come.
    pub otlp_endpoint: Option<Url>,
    /// Headers for the collector, as `OTEL_EXPORTER_OTLP_HEADERS` has them: `name=value`, with commas or lines between them.
    pub otlp_headers: Option<Secret>,
    /// Which share of the traces that begin here is recorded, from 0 to 1. Of others their callers decide.
    pub sample_ratio: f64,
    /// What this server is called in traces.
    pub service_name: String,
    /// Whether what callers say in `tracestate` is kept, and passed on to receivers and providers.
    pub tracestate: bool,
}

static HEADERS: KeyNames =
    KeyNames { inline: "otlp_headers", file: "otlp_headers_file", variable: "otlp_headers_env", masked: None };

impl Default for Traces {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers: None,
            sample_ratio: 1.0,
            service_name: "keyherald".to_owned(),
            tracestate: false,
        }
    }
}

impl Traces {
    /// The URL that spans are posted to.
    pub fn url(&self) -> Option<Url> {
        let mut url = self.otlp_endpoint.clone()?;
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(PATH) {
            url.set_path(&format!("{path}{PATH}"));
        }
        Some(url)
    }

    /// Name and value of each header. `None`: they are not written as they should be.
    pub fn headers(&self) -> Option<Vec<(String, String)>> {
        let text = self.otlp_headers.as_ref().filter(|headers| headers.is_readable()).map_or("", Secret::reveal);
        let parts = text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty());
        let headers: Vec<_> = parts.map(header).collect::<Option<_>>()?;
        (headers.len() <= HEADERS_MAX).then_some(headers)
    }
}

/// `name=value`, the value percent-encoded where it must be.
fn header(part: &str) -> Option<(String, String)> {
    let (name, value) = part.split_once('=')?;
    let (name, value) = (name.trim(), decoded(value.trim())?);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_good =
        !name.is_empty() && name.bytes().all(is_name) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_good.then(|| (name.to_ascii_lowercase(), value))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let code = rest.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = rest.get(2..)?;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

impl Section for Traces {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("otlp_endpoint", &mut self.otlp_endpoint);
        keys.optional_secret(&HEADERS, &mut self.otlp_headers);
        keys.within("sample_ratio", &mut self.sample_ratio, 0.0..=1.0);
        keys.value("service_name", &mut self.service_name);
        keys.value("tracestate", &mut self.tracestate);
        if self.headers().is_none() {
            let what = "must be name=value, with commas between them";
            keys.refuse_secret(&HEADERS, what, "such as authorization=Bearer%20abc,x-tenant=shop");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use crate::config::{Config, Environment, Problems, Purpose};

    fn read(text: &str, headers: &str) -> Result<Config, Problems> {
        let variable = (OsString::from("HEADERS"), OsString::from(headers));
        Config::read(text, None, Environment::of([variable]), Purpose::Maintain)
    }

    #[test]
    fn the_path_is_added_unless_it_is_there() {
        for (given, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example/otlp/", "https://otlp.example/otlp/v1/traces"),
            ("https://otlp.example/v1/traces", "https://otlp.example/v1/traces"),
        ] {
            let config = read(&format!("[traces]\notlp_endpoint = \"{given}\""), "").unwrap();
            assert_eq!(config.traces.url().unwrap().as_str(), expected);
        }
        assert_eq!(read("", "").unwrap().traces.url(), None);
    }

    #[test]
    fn headers_are_read_as_opentelemetry_has_them_and_never_shown() {
        let text = "[traces]\notlp_endpoint = \"https://otlp.example\"\notlp_headers_env = \"HEADERS\"";
        let config = read(text, "authorization=Bearer%20s3cret, X-Tenant=shop=1\nx-rate=50%").unwrap();
        let expected = [("authorization", "Bearer s3cret"), ("x-tenant", "shop=1"), ("x-rate", "50%")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(config.traces.headers().unwrap(), expected);
        let shown = format!("{}{:?}", config.listing(), config.traces);
        assert!(!shown.contains("s3cret") && shown.contains("otlp_endpoint"), "{shown}");
        for wrong in ["authorization", "two words=1", "a=%0d%0a", "=x"] {
            let problems = read(text, wrong).unwrap_err().to_string();
            assert!(problems.contains("traces.otlp_headers_env") && problems.contains("name=value"), "{problems}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key_and_a_hint() {
        for (text, key) in [
            ("otlp_endpoint = \"grpc://127.0.0.1:4317\"", "traces.otlp_endpoint"),
            ("otlp_endpoint = \"https://key@otlp.example\"", "traces.otlp_endpoint"),
            ("otlp_endpoint = \"https://otlp.example?key=1\"", "traces.otlp_endpoint"),
            ("sample_ratio = 1.5", "traces.sample_ratio"),
            ("endpoint = \"https://otlp.example\"", "traces.endpoint"),
        ] {
            let problems = read(&format!("[traces]\n{text}"), "").unwrap_err().to_string();
            assert!(problems.contains(key), "{text}: {problems}");
        }
    }
}
