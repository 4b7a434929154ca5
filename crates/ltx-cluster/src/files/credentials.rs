//! Who a node is to an S3 service: a file as AWS's tools write it, else what the environment says, as those tools read it.
//!
//! Must not show what it finds: errors say where something is missing, and no value.

use crate::{ClusterError, s3_config::S3Config};
use object_store::{
    StaticCredentialProvider,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
    sync::Arc,
};

const KEY: &str = "cluster.s3_credentials_file";

/// The most bytes of a file of credentials.
const LARGEST: u64 = 64 << 10;

/// What the environment may say of roles and of who gives credentials out. Addresses, buckets and the rest are the configuration's alone.
const ROLES: [(&str, AmazonS3ConfigKey); 7] = [
    ("AWS_WEB_IDENTITY_TOKEN_FILE", AmazonS3ConfigKey::WebIdentityTokenFile),
    ("AWS_ROLE_ARN", AmazonS3ConfigKey::RoleArn),
    ("AWS_ROLE_SESSION_NAME", AmazonS3ConfigKey::RoleSessionName),
    ("AWS_ENDPOINT_URL_STS", AmazonS3ConfigKey::StsEndpoint),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", AmazonS3ConfigKey::ContainerCredentialsRelativeUri),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", AmazonS3ConfigKey::ContainerCredentialsFullUri),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", AmazonS3ConfigKey::ContainerAuthorizationTokenFile),
];

/// Gives a node its credentials.
pub(super) fn given(builder: AmazonS3Builder, config: &S3Config) -> Result<AmazonS3Builder, ClusterError> {
    let with = |builder: AmazonS3Builder, credential| {
        builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)))
    };
    if let Some(file) = &config.credentials_file {
        let credential = read(file).and_then(|text| of_file(&text).map_err(io::Error::other));
        let failed = |why: io::Error| ClusterError::File { key: KEY, file: file.clone(), why: why.to_string() };
        return credential.map(|credential| with(builder, credential)).map_err(failed);
    }
    let said = |name| config.environment.said(name);
    let of_environment =
        of(said("AWS_ACCESS_KEY_ID"), said("AWS_SECRET_ACCESS_KEY"), said("AWS_SESSION_TOKEN")).transpose();
    if let Some(credential) = of_environment {
        let failed = |why: String| ClusterError::S3 { key: KEY, value: "\"\"".to_owned(), why };
        return credential
            .map(|credential| with(builder, credential))
            .map_err(|why| failed(format!("the environment {why}")));
    }
    let known = ROLES.into_iter().filter_map(|(name, key)| said(name).map(|value| (key, value)));
    Ok(known.fold(builder, |builder, (key, value)| builder.with_config(key, value)))
}

fn read(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?.take(LARGEST).read_to_string(&mut text)?;
    match (read as u64) < LARGEST {
        true => Ok(text),
        false => Err(io::Error::new(ErrorKind::InvalidData, "is larger than any file of credentials")),
    }
}

/// The credentials of the profile `default`, or of the only one.
fn of_file(text: &str) -> Result<AwsCredential, String> {
    let mut profiles: HashMap<&str, HashMap<&str, &str>> = HashMap::new();
    let mut profile = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            profile = Some(name.trim());
            profiles.entry(name.trim()).or_default();
        } else if let (Some(profile), Some((name, value))) = (profile, line.split_once('=')) {
            profiles.entry(profile).or_default().insert(name.trim(), value.trim());
        } else {
            return Err("is no file of credentials, with a line [default] above aws_access_key_id = …".to_owned());
        }
    }
    let only = if profiles.len() == 1 { profiles.values().next() } else { None };
    let values = profiles.get("default").or(only).ok_or("has no profile [default]")?;
    let value = |name: &str| values.get(name).filter(|value| !value.is_empty()).map(|value| (*value).to_owned());
    let credential = of(value("aws_access_key_id"), value("aws_secret_access_key"), value("aws_session_token"))?;
    credential.ok_or_else(|| "has no aws_access_key_id".to_owned())
}

/// Credentials of what was found; `None` where nothing was.
fn of(id: Option<String>, secret: Option<String>, token: Option<String>) -> Result<Option<AwsCredential>, String> {
    let parts = [("an access key", &id), ("a secret", &secret), ("a session token", &token)];
    // They go into headers.
    let is_plain = |value: &String| value.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some((what, _)) = parts.into_iter().find(|(_, value)| value.as_ref().is_some_and(|value| !is_plain(value))) {
        return Err(format!("has {what} with a blank or a character that none has"));
    }
    match (id, secret) {
        (Some(key_id), Some(secret_key)) => Ok(Some(AwsCredential { key_id, secret_key, token })),
        (Some(_), None) => Err("has an access key and no secret".to_owned()),
        (None, Some(_)) => Err("has a secret and no access key".to_owned()),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_awss_tools_read_it() {
        let both = "# of the service\n[other]\naws_access_key_id = O\naws_secret_access_key = P\n\n\
                    [default]\naws_access_key_id=A\naws_secret_access_key = B=/+\naws_session_token = C\nregion = x\n";
        let credential = of_file(both).unwrap();
        assert_eq!((credential.key_id.as_str(), credential.secret_key.as_str()), ("A", "B=/+"));
        assert_eq!(credential.token.as_deref(), Some("C"));
        let only = of_file("[ltxd]\naws_access_key_id = A\naws_secret_access_key = B\n").unwrap();
        assert_eq!((only.key_id.as_str(), only.token), ("A", None));
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_repeated() {
        for (text, why) in [
            ("", "no profile [default]"),
            ("[a]\naws_access_key_id = A\n[b]\naws_access_key_id = B\n", "no profile [default]"),
            ("[default]\n", "no aws_access_key_id"),
            ("[default]\naws_access_key_id = SECRET\n", "an access key and no secret"),
            ("[default]\naws_secret_access_key = SECRET\n", "a secret and no access key"),
            ("[default]\naws_access_key_id = A\naws_secret_access_key = SECRET WORD\n", "a secret with a blank"),
            ("aws_access_key_id = SECRET\n", "is no file of credentials"),
            ("[default]\nSECRET\n", "is no file of credentials"),
        ] {
            let said = of_file(text).unwrap_err();
            assert!(said.contains(why) && !said.contains("SECRET"), "{text:?}: {said}");
        }
    }
}
