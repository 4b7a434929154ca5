//! What an operator decides about a bucket for files: the keys `s3_*` of the section `cluster`.
//!
//! Must not know how it is reached.

use crate::{Environment, Settings};
use ltx_types::FieldError;
use std::path::PathBuf;
use url::Url;

/// The region of a service that has none.
const REGION: &str = "us-east-1";

/// A bucket, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct S3Config {
    pub(crate) bucket: String,
    /// The service's address; `None` for AWS.
    pub(crate) endpoint: Option<String>,
    /// `None` for what the environment says.
    region: Option<String>,
    /// What names in the bucket begin with; empty where they do not.
    pub(crate) prefix: String,
    /// `None` for what the environment says.
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) allow_http: bool,
    pub(crate) environment: Environment,
}

impl S3Config {
    /// Holds the keys against each other. `None` where files lie in NATS.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, FieldError> {
        let Settings { s3_bucket, s3_endpoint, s3_region, s3_prefix, s3_credentials_file, s3_allow_http, .. } =
            settings;
        let some = |said: &String| Some(said.clone()).filter(|said| !said.is_empty());
        let credentials_file = Some(s3_credentials_file.clone()).filter(|file| !file.as_os_str().is_empty());
        if s3_bucket.is_empty() {
            let file = credentials_file.map(|file| file.display().to_string()).unwrap_or_default();
            let http = s3_allow_http.then(|| "true".to_owned()).unwrap_or_default();
            let others = [
                ("cluster.s3_endpoint", s3_endpoint),
                ("cluster.s3_region", s3_region),
                ("cluster.s3_prefix", s3_prefix),
                ("cluster.s3_credentials_file", &file),
                ("cluster.s3_allow_http", &http),
            ];
            return match others.into_iter().find(|(_, value)| !value.is_empty()) {
                Some((key, value)) => {
                    Err(FieldError::new(key, value, "is for files in S3, and cluster.s3_bucket names no bucket"))
                }
                None => Ok(None),
            };
        }
        check_bucket(s3_bucket)?;
        check_endpoint(s3_endpoint, *s3_allow_http)?;
        let is_in = |said: &str, others: &str| said.chars().all(|it| it.is_ascii_alphanumeric() || others.contains(it));
        if !is_in(s3_region, "-_") {
            return Err(FieldError::new("cluster.s3_region", s3_region, "has letters, digits, - and _"));
        }
        let parts = |prefix: &str| prefix.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !s3_prefix.is_empty() && (s3_prefix.len() > 200 || !is_in(s3_prefix, "-_./") || !parts(s3_prefix)) {
            let rule = "has at most 200 letters, digits, -, _ and ., and / between them";
            let nearest = s3_prefix.trim_matches('/').to_owned();
            let wrong = FieldError::new("cluster.s3_prefix", s3_prefix, rule);
            return Err(if is_in(&nearest, "-_./") && parts(&nearest) { wrong.nearest(nearest) } else { wrong });
        }
        Ok(Some(Self {
            bucket: s3_bucket.clone(),
            endpoint: some(s3_endpoint).map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            region: some(s3_region),
            prefix: s3_prefix.clone(),
            credentials_file,
            allow_http: *s3_allow_http,
            environment: settings.environment.clone(),
        }))
    }

    /// The region: as configured, as the environment has it, or that of a service that has none.
    pub(crate) fn region(&self) -> String {
        let said = |name| self.environment.said(name);
        let region = self.region.clone().or_else(|| said("AWS_REGION")).or_else(|| said("AWS_DEFAULT_REGION"));
        region.unwrap_or_else(|| REGION.to_owned())
    }

    /// The service's address.
    pub(crate) fn address(&self) -> String {
        self.endpoint.clone().unwrap_or_else(|| format!("https://s3.{}.amazonaws.com", self.region()))
    }

    /// What every name of a service's files begins with.
    pub(crate) fn base(&self, service: &str) -> String {
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        format!("{prefix}{service}")
    }

    /// What the bucket is called in messages.
    pub(crate) fn called(&self, service: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.base(service))
    }
}

fn check_bucket(bucket: &str) -> Result<(), FieldError> {
    let legal = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-' || it == '.';
    let ends = |at: Option<char>| at.is_some_and(|it| it.is_ascii_alphanumeric());
    let whole = (3..=63).contains(&bucket.len()) && bucket.chars().all(legal) && !bucket.contains("..");
    if whole && ends(bucket.chars().next()) && ends(bucket.chars().last()) {
        return Ok(());
    }
    let rule = "has 3 to 63 lower-case letters, digits, - and ., a letter or digit at both ends";
    Err(FieldError::new("cluster.s3_bucket", bucket, rule))
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), FieldError> {
    // Not repeated where it may hold a password.
    let wrong = |rule| match endpoint.contains('@') {
        true => FieldError::hidden("cluster.s3_endpoint", rule),
        false => FieldError::new("cluster.s3_endpoint", endpoint, rule),
    };
    let url = (!endpoint.is_empty()).then(|| Url::parse(endpoint)).transpose();
    let url = url.map_err(|_| wrong("is no address such as https://minio.example:9000"))?;
    if let Some(url) = &url {
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            let rule = "has credentials or a query; those belong into cluster.s3_credentials_file";
            return Err(FieldError::hidden("cluster.s3_endpoint", rule));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("is no address such as https://minio.example:9000"));
        }
    }
    let is_http = url.is_some_and(|url| url.scheme() == "http");
    match (is_http, allow_http) {
        (true, false) => Err(wrong(
            "is http, by which everybody on the way can read the files; say cluster.s3_allow_http if that is meant",
        )),
        (false, true) => {
            let rule = "allows what cluster.s3_endpoint does not ask for: it is not http";
            Err(FieldError::new("cluster.s3_allow_http", true, rule).nearest(false))
        }
        _ => Ok(()),
    }
}
