//! What an operator decides about a cluster, from the section `cluster` of node.toml; every value carries its bounds.
//!
//! Must not know where keys come from, nor defaults: those are ltxd's defaults.toml.

use crate::{Bucket, Environment, s3_config::S3Config};
use ltx_types::{FieldError, settings::Bounded};
use serde::{Deserialize, Deserializer, de::Error};
use std::{path::PathBuf, sync::Arc, time::Duration};

/// What a node does for its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It answers clients.
    Face,
    /// It computes.
    Worker,
}

/// The roles of a node: one or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// It answers clients.
    pub face: bool,
    /// It computes.
    pub worker: bool,
}

/// Files of certificates for the connection to NATS; without them, it is TLS only where the server asks for it.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    /// Certificates that the servers' are held against, PEM.
    pub(crate) ca: Option<PathBuf>,
    /// The node's own and its key, PEM.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
}

/// The section `cluster`, before its values are held against each other.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the NATS servers are; none for a node alone.
    pub servers: Vec<String>,
    /// The name of the service, by which its streams are told from others of the same servers.
    pub service: String,
    /// What the node does.
    #[serde(deserialize_with = "roles")]
    pub roles: Roles,
    /// Copies that the servers keep of everything.
    pub replicas: Bounded<usize, 1, 5>,
    /// Seconds without a sign of life, after which another worker takes a generation over.
    pub silent_seconds: Bounded<u64, 1, 3600>,
    /// Credentials as `nsc` writes them: a JWT and its seed.
    pub credentials_file: PathBuf,
    /// A file that holds the seed of an NKey.
    pub nkey_file: PathBuf,
    /// Certificates that the servers' are held against, PEM.
    pub tls_ca: PathBuf,
    /// The node's own, PEM.
    pub tls_cert: PathBuf,
    /// Its key, PEM.
    pub tls_key: PathBuf,
    /// The bucket of an S3 service for files; none where they lie in NATS.
    pub s3_bucket: String,
    /// The service's address; empty for AWS.
    pub s3_endpoint: String,
    /// Its region; empty for what the environment says.
    pub s3_region: String,
    /// What names in the bucket begin with.
    pub s3_prefix: String,
    /// A profile as AWS's tools write it; empty for what the environment says.
    pub s3_credentials_file: PathBuf,
    /// Whether an address without TLS is meant.
    pub s3_allow_http: bool,
    /// What the node's environment says of AWS.
    #[serde(skip)]
    pub environment: Environment,
}

/// Where a service's files lie.
#[derive(Clone)]
pub(crate) enum FilesAt {
    /// In JetStream's object store.
    JetStream,
    /// In a bucket of an S3 service.
    S3(S3Config),
    /// In what a test has made.
    Given(Arc<dyn Bucket>),
}

impl std::fmt::Debug for FilesAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JetStream => f.write_str("JetStream"),
            Self::S3(config) => config.fmt(f),
            Self::Given(bucket) => bucket.fmt(f),
        }
    }
}

/// Settings of a node that belongs to a service, which hold together.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    pub(crate) servers: Vec<String>,
    pub(crate) service: String,
    /// What the node does.
    pub roles: Roles,
    pub(crate) replicas: usize,
    pub(crate) silent: Duration,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) nkey_file: Option<PathBuf>,
    pub(crate) tls: TlsFiles,
    pub(crate) files: FilesAt,
}

impl ClusterConfig {
    /// Files lie there and not where the configuration says. For tests.
    #[doc(hidden)]
    pub fn keep_files_in(&mut self, bucket: Arc<dyn Bucket>) {
        self.files = FilesAt::Given(bucket);
    }
}

impl ClusterConfig {
    /// The service's name.
    pub fn service(&self) -> &str {
        &self.service
    }
}

impl Settings {
    /// Holds the values against each other. `None` for a node alone, to which the others mean nothing.
    ///
    /// # Errors
    /// The first value that cannot be, by its key.
    pub fn check(&self) -> Result<Option<ClusterConfig>, FieldError> {
        let some = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
        if self.servers.is_empty() {
            return Ok(None);
        }
        let leads_nowhere = |server: &&String| {
            server.parse::<async_nats::ServerAddr>().map_or(true, |address| address.host().is_empty())
        };
        if let Some(server) = self.servers.iter().find(leads_nowhere) {
            let rule = "is no address of a NATS server, such as nats://10.0.0.1:4222";
            return Err(FieldError::new("cluster.servers", server, rule));
        }
        let legal = |character: char| character.is_ascii_alphanumeric() || character == '-' || character == '_';
        if self.service.is_empty() || self.service.len() > 32 || !self.service.chars().all(legal) {
            let rule = "has 1 to 32 letters, digits, - and _";
            return Err(FieldError::new("cluster.service", &self.service, rule).nearest("ltxd"));
        }
        let replicas = self.replicas.get();
        if replicas.is_multiple_of(2) {
            let rule = "is even, and of an even number a half is no majority";
            return Err(FieldError::new("cluster.replicas", replicas, rule).nearest(replicas - 1));
        }
        if let (Some(_), Some(file)) = (some(&self.credentials_file), some(&self.nkey_file)) {
            let rule = "stands beside cluster.credentials_file; a node has one identity";
            return Err(FieldError::new("cluster.nkey_file", file.display(), rule));
        }
        let own = match (some(&self.tls_cert), some(&self.tls_key)) {
            (Some(cert), None) => {
                return Err(FieldError::new("cluster.tls_cert", cert.display(), "has no cluster.tls_key beside it"));
            }
            (None, Some(key)) => {
                return Err(FieldError::new("cluster.tls_key", key.display(), "has no cluster.tls_cert beside it"));
            }
            (cert, key) => cert.zip(key),
        };
        Ok(Some(ClusterConfig {
            servers: self.servers.clone(),
            service: self.service.clone(),
            roles: self.roles,
            replicas,
            silent: Duration::from_secs(self.silent_seconds.get()),
            credentials_file: some(&self.credentials_file),
            nkey_file: some(&self.nkey_file),
            tls: TlsFiles { ca: some(&self.tls_ca), own },
            files: S3Config::of(self)?.map_or(FilesAt::JetStream, FilesAt::S3),
        }))
    }
}

fn roles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Roles, D::Error> {
    let mut roles = Roles { face: false, worker: false };
    for said in Vec::<String>::deserialize(deserializer)? {
        match said.as_str() {
            "face" => roles.face = true,
            "worker" => roles.worker = true,
            _ => return Err(D::Error::custom("has a role that is neither face nor worker")),
        }
    }
    match roles.face || roles.worker {
        true => Ok(roles),
        false => Err(D::Error::custom("names no role; a node is a face, a worker, or both")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(of: &str) -> Settings {
        let given: serde_json::Value = serde_json::from_str(of).unwrap();
        let mut all = serde_json::json!({
            "servers": ["nats://127.0.0.1:4222"], "service": "ltxd", "roles": ["face", "worker"], "replicas": 1,
            "silent_seconds": 30, "credentials_file": "", "nkey_file": "",
            "tls_ca": "", "tls_cert": "", "tls_key": "", "s3_bucket": "", "s3_endpoint": "", "s3_region": "",
            "s3_prefix": "", "s3_credentials_file": "", "s3_allow_http": false,
        });
        given.as_object().unwrap().iter().for_each(|(key, value)| all[key] = value.clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_value_that_cannot_be_is_named_by_its_key() {
        for (of, field) in [
            (r#"{"servers": ["nats://"]}"#, "cluster.servers"),
            (r#"{"service": "a.b"}"#, "cluster.service"),
            (r#"{"replicas": 2}"#, "cluster.replicas"),
            (r#"{"credentials_file": "x", "nkey_file": "y"}"#, "cluster.nkey_file"),
            (r#"{"tls_cert": "x"}"#, "cluster.tls_cert"),
            (r#"{"tls_key": "x"}"#, "cluster.tls_key"),
            (r#"{"s3_endpoint": "https://minio:9000"}"#, "cluster.s3_endpoint"),
            (r#"{"s3_region": "eu-west-1"}"#, "cluster.s3_region"),
            (r#"{"s3_prefix": "a"}"#, "cluster.s3_prefix"),
            (r#"{"s3_credentials_file": "c"}"#, "cluster.s3_credentials_file"),
            (r#"{"s3_allow_http": true}"#, "cluster.s3_allow_http"),
            (r#"{"s3_bucket": "a/b"}"#, "cluster.s3_bucket"),
            (r#"{"s3_bucket": "-ab"}"#, "cluster.s3_bucket"),
            (r#"{"s3_bucket": "files", "s3_endpoint": "minio:9000"}"#, "cluster.s3_endpoint"),
            (r#"{"s3_bucket": "files", "s3_endpoint": "https://"}"#, "cluster.s3_endpoint"),
            (r#"{"s3_bucket": "files", "s3_endpoint": "http://minio:9000"}"#, "cluster.s3_endpoint"),
            (
                r#"{"s3_bucket": "files", "s3_endpoint": "https://minio:9000", "s3_allow_http": true}"#,
                "cluster.s3_allow_http",
            ),
            (r#"{"s3_bucket": "files", "s3_region": "a b"}"#, "cluster.s3_region"),
            (r#"{"s3_bucket": "files", "s3_prefix": "/a"}"#, "cluster.s3_prefix"),
            (r#"{"s3_bucket": "files", "s3_prefix": "a/../b"}"#, "cluster.s3_prefix"),
        ] {
            assert_eq!(settings(of).check().unwrap_err().field, field, "{of}");
        }
    }

    #[test]
    fn a_bucket_is_where_it_is_said_to_be() {
        let of = |of: &str| match settings(of).check().unwrap().unwrap().files {
            FilesAt::S3(config) => config,
            other => panic!("{other:?}"),
        };
        let here = of(r#"{"s3_bucket": "files", "s3_endpoint": "http://minio:9000/", "s3_allow_http": true,
            "s3_prefix": "a/b", "s3_region": "eu-west-1"}"#);
        assert_eq!((here.address().as_str(), here.base("ltxd").as_str()), ("http://minio:9000", "a/b/ltxd"));
        assert_eq!(here.called("ltxd"), "s3://files/a/b/ltxd");
        let aws = of(r#"{"s3_bucket": "files", "s3_region": "eu-west-1"}"#);
        assert_eq!((aws.address().as_str(), aws.base("x").as_str()), ("https://s3.eu-west-1.amazonaws.com", "x"));
        let nearest = settings(r#"{"s3_bucket": "files", "s3_prefix": "/a/"}"#).check().unwrap_err();
        assert_eq!(nearest.nearest.as_deref(), Some("a"));
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let said = settings(r#"{"s3_bucket": "files", "s3_endpoint": "https://me:word@minio"}"#).check().unwrap_err();
        assert_eq!(said.field, "cluster.s3_endpoint");
        assert!(!said.to_string().contains("word"), "{said}");
    }

    #[test]
    fn a_node_that_names_no_server_is_alone() {
        assert!(settings(r#"{"servers": []}"#).check().unwrap().is_none());
        let config = settings(r#"{"roles": ["worker"], "replicas": 3}"#).check().unwrap().unwrap();
        assert_eq!((config.roles, config.replicas), (Roles { face: false, worker: true }, 3));
        assert!(serde_json::from_value::<Settings>(serde_json::json!({ "roles": [] })).is_err());
    }
}
