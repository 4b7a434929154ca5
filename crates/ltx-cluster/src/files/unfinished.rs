//! Uploads in parts that were begun and neither completed nor given up, as those of a node that died: S3 keeps their parts, and shows
//! them to nobody who does not ask for them.
//!
//! Must not know whose they are. The library of everything else here does not list them, but signs the question.

use super::{Failed, s3_errors::between};
use crate::connection::ANSWER;
use object_store::{
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpRequest, HttpRequestBody},
};
use std::fmt::Write;
use tokio::time::timeout;

/// The most pages of a list.
const PAGES: usize = 1000;

/// An upload.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

/// What lists them.
pub(super) struct Unfinished {
    pub(super) client: HttpClient,
    /// The bucket's address.
    pub(super) url: String,
    pub(super) region: String,
    pub(super) credentials: AwsCredentialProvider,
}

/// A part of a list.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    uploads: Vec<Upload>,
    /// Where the next one begins.
    next: Option<Upload>,
}

impl Unfinished {
    /// Those whose keys begin so. None where the service has no such list, or does not show it.
    pub(super) async fn below(&self, prefix: &str) -> Result<Vec<Upload>, Failed> {
        let (mut all, mut next) = (Vec::new(), None);
        for _ in 0..PAGES {
            let page = match self.page(prefix, next.as_ref()).await? {
                Ok(page) => page,
                Err(status) => {
                    tracing::debug!(status, "S3 does not list uploads that are not complete");
                    break;
                }
            };
            all.extend(page.uploads);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Whether the service shows its list.
    pub(super) async fn are_shown(&self, prefix: &str) -> Result<bool, Failed> {
        Ok(self.page(prefix, None).await?.is_ok())
    }

    /// A page, or the status of an answer that is none.
    async fn page(&self, prefix: &str, after: Option<&Upload>) -> Result<Result<Page, u16>, Failed> {
        let away = |why: &dyn std::fmt::Display| Failed::Away(format!("S3: {why}"));
        let mut url = format!("{}?uploads=&max-uploads=1000&prefix={}", self.url, encoded(prefix));
        if let Some(Upload { key, id }) = after {
            let _ = write!(url, "&key-marker={}&upload-id-marker={}", encoded(key), encoded(id));
        }
        let asked = async {
            let credential = self.credentials.get_credential().await.map_err(|why| away(&why))?;
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.uri_mut() = url.parse().map_err(|why| away(&why))?;
            AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
            let answer = self.client.execute(request).await.map_err(|why| away(&why))?;
            let status = answer.status();
            if status.is_server_error() {
                return Err(away(&status));
            }
            let text = answer.into_body().bytes().await.map_err(|why| away(&why))?;
            Ok(status.is_success().then(|| page(&String::from_utf8_lossy(&text))).ok_or(status.as_u16()))
        };
        timeout(ANSWER, asked).await.map_err(|late| away(&late))?
    }
}

/// A page of XML.
fn page(xml: &str) -> Page {
    let upload = |of: &str, key: &str, id: &str| {
        let value = |name: &str| between(of, &format!("<{name}>"), &format!("</{name}>")).map(unescaped);
        Some(Upload { key: value(key)?, id: value(id)? })
    };
    let blocks = xml.split("<Upload>").skip(1).filter_map(|block| block.split("</Upload>").next());
    let uploads = blocks.filter_map(|block| upload(block, "Key", "UploadId")).collect();
    let goes_on = between(xml, "<IsTruncated>", "</IsTruncated>").is_some_and(|said| said.trim() == "true");
    let next = upload(xml, "NextKeyMarker", "NextUploadIdMarker").filter(|_| goes_on);
    Page { uploads, next }
}

fn unescaped(text: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .into_iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// As a value of a query.
fn encoded(value: &str) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
          <Bucket>b</Bucket><KeyMarker></KeyMarker><NextKeyMarker>b&amp;c</NextKeyMarker>
          <NextUploadIdMarker>2+/=</NextUploadIdMarker><IsTruncated>true</IsTruncated>
          <Upload><Key>a/1/video.mp4</Key><UploadId>1</UploadId><Initiator><ID>x</ID></Initiator></Upload>
          <Upload><Key>b&amp;c</Key><UploadId>2+/=</UploadId></Upload>
          <Upload><Key>cut</Key>"#;

    fn upload(key: &str, id: &str) -> Upload {
        Upload { key: key.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn a_page_is_read_and_says_whether_another_one_follows() {
        let read = page(XML);
        assert_eq!(read.uploads, [upload("a/1/video.mp4", "1"), upload("b&c", "2+/=")]);
        assert_eq!(read.next, Some(upload("b&c", "2+/=")));
        assert_eq!(page(&XML.replace(">true<", ">false<")).next, None);
        assert_eq!(page("<html>proxy</html>"), Page::default());
    }

    #[test]
    fn values_of_a_query_are_encoded() {
        assert_eq!(encoded("a/1 2+/=&~"), "a%2F1%202%2B%2F%3D%26~");
    }
}
