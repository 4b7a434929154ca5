//! The bucket of a service when a node starts: what is wrong with it is said then, by the key that says it.
//!
//! Must not know what is kept there.

use super::{
    credentials,
    s3::{S3, within},
    s3_errors::{cause, code},
    unfinished::Unfinished,
};
use crate::{ClusterError, connection::ANSWER, error::unavailable, s3_config::S3Config};
use futures_util::StreamExt;
use object_store::{
    BackoffConfig, ClientOptions, Error, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::{HttpConnector, ReqwestConnector},
    path::Path,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Where a service's files lie, as its nodes agree on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// In words.
    pub(crate) at: String,
    /// The name of an object there by which it is known, whatever its address is called.
    pub(crate) mark: String,
}

/// A bucket, and what tells why it does not do what it must.
pub(super) struct Start<'a> {
    pub(super) s3: &'a S3,
    pub(super) config: &'a S3Config,
}

impl S3 {
    /// Reaches a bucket, and does there once what will have to be done.
    ///
    /// # Errors
    /// `File`, `S3`, by the key that is wrong as far as answers tell.
    pub(crate) async fn open(config: &S3Config, service: &str, node: &str) -> Result<Self, ClusterError> {
        let options = ClientOptions::default()
            .with_allow_http(config.allow_http)
            .with_connect_timeout(ANSWER)
            // Every question has a time of its own.
            .with_timeout_disabled();
        let backoff = BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: ANSWER, base: 2.0 };
        // Whoever asks tries again, and knows how long.
        let retry = RetryConfig { backoff, max_retries: 0, retry_timeout: ANSWER };
        let region = config.region();
        let builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&region)
            .with_allow_http(config.allow_http)
            .with_retry(retry)
            .with_client_options(options.clone());
        let builder = config.endpoint.iter().fold(builder, AmazonS3Builder::with_endpoint);
        let wrong = |error: Error| refusal(config, "be used", &error);
        let store: AmazonS3 = credentials::given(builder, config)?.build().map_err(wrong)?;
        let unfinished = Unfinished {
            client: ReqwestConnector::default().connect(&options).map_err(wrong)?,
            url: format!("{}/{}", config.address(), config.bucket),
            region,
            credentials: Arc::clone(store.credentials()),
        };
        let s3 = Self::new(Arc::new(store), config.base(service), config.called(service));
        let s3 = Self { unfinished: Some(unfinished), ..s3 };
        Start { s3: &s3, config }.probe(node).await?;
        Ok(s3)
    }

    /// Whether the files of a service that knows its place by this mark lie here.
    ///
    /// # Errors
    /// `Jobs`.
    pub(crate) async fn bears(&self, mark: &str) -> Result<bool, ClusterError> {
        match within(ANSWER, self.bucket.head(&self.mark(mark))).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(Error::NotFound { .. })) => Ok(false),
            Ok(Err(error)) => Err(ClusterError::Jobs(unavailable(cause(&error)))),
            Err(late) => Err(ClusterError::Jobs(late.into())),
        }
    }

    /// Marks the place as that of a service's files.
    ///
    /// # Errors
    /// `Jobs`.
    pub(crate) async fn marked(&self) -> Result<Place, ClusterError> {
        let place = Place { at: self.called.clone(), mark: Uuid::now_v7().to_string() };
        let key = self.mark(&place.mark);
        let put = self.bucket.put(&key, PutPayload::from_static(b"ltxd\n"));
        match within(ANSWER, put).await {
            Ok(Ok(_)) => Ok(place),
            Ok(Err(error)) => Err(ClusterError::Jobs(unavailable(cause(&error)))),
            Err(late) => Err(ClusterError::Jobs(late.into())),
        }
    }

    /// Takes the mark away again: another node was first.
    pub(crate) async fn unmarked(&self, place: &Place) {
        let _ = within(ANSWER, self.bucket.delete(&self.mark(&place.mark))).await;
    }

    fn mark(&self, mark: &str) -> Path {
        Path::from(format!("{}/service-{mark}", self.base))
    }
}

impl Start<'_> {
    /// Lists, puts, reads and deletes.
    async fn probe(&self, node: &str) -> Result<(), ClusterError> {
        let Self { s3, .. } = self;
        let key = Path::from(format!("{}/probe-{node}", s3.base));
        let list = async { s3.bucket.list(Some(&Path::from(s3.base.as_str()))).next().await.transpose().map(drop) };
        self.does("be listed", list).await?;
        let put = async { s3.bucket.put(&key, PutPayload::from_static(b"ltxd\n")).await.map(drop) };
        self.does("be written to", put).await?;
        let read = async { s3.bucket.get(&key).await?.bytes().await.map(drop) };
        self.does("be read from", read).await?;
        self.does("have objects deleted", async { s3.bucket.delete(&key).await }).await?;
        if let Some(unfinished) = &s3.unfinished
            && !matches!(unfinished.are_shown(&format!("{}/", s3.base)).await, Ok(true))
        {
            tracing::warn!(
                bucket = s3.called,
                "uploads that a node did not complete cannot be listed: give the bucket a rule that ends them"
            );
        }
        Ok(())
    }

    async fn does(&self, what: &str, done: impl Future<Output = Result<(), Error>>) -> Result<(), ClusterError> {
        match within(2 * ANSWER, done).await {
            Ok(done) => done.map_err(|error| refusal(self.config, what, &error)),
            Err(_) => Err(ClusterError::S3 {
                key: "cluster.s3_endpoint",
                value: self.config.address(),
                why: "does not answer in time".to_owned(),
            }),
        }
    }
}

/// What an answer at the start means, by the key that is wrong as far as it tells.
fn refusal(config: &S3Config, what: &str, error: &Error) -> ClusterError {
    let bucket = ("cluster.s3_bucket", config.bucket.clone());
    let file = config.credentials_file.as_ref().map_or("\"\"".to_owned(), |file| file.display().to_string());
    let credentials = ("cluster.s3_credentials_file", file);
    let told = cause(error);
    let ((key, value), why) = match (code(error).as_deref(), error) {
        (Some("NoSuchBucket"), _) | (None, Error::NotFound { .. }) => (bucket, "there is no such bucket".to_owned()),
        (
            Some(
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "InvalidToken"
                | "ExpiredToken"
                | "InvalidClientTokenId"
                | "RequestTimeTooSkewed"
                | "AuthFailure",
            ),
            _,
        )
        | (_, Error::Unauthenticated { .. }) => (credentials, format!("the credentials are refused: {told}")),
        (Some("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException"), _) => {
            (("cluster.s3_region", config.region()), format!("the bucket is in another region: {told}"))
        }
        (_, Error::PermissionDenied { .. }) => (bucket, format!("cannot {what} by these credentials: {told}")),
        // Where nothing says who the node is, the machine is asked.
        (None, error) if config.credentials_file.is_none() && error.to_string().contains("/latest/") => {
            let why =
                "the environment has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and the machine gives out no role";
            (credentials, why.to_owned())
        }
        _ if told.contains("incorrectly configured region") => {
            (("cluster.s3_region", config.region()), "the bucket is in another region".to_owned())
        }
        _ => (("cluster.s3_endpoint", config.address()), format!("the bucket cannot {what}: {told}")),
    };
    ClusterError::S3 { key, value, why }
}
