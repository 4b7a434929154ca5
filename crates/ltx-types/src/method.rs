//! The two methods of the unlimited class.
//!
//! Must not know who may use them; that is `ltx-policy`.

use serde::{Deserialize, Serialize};

/// How the images of a request steer the clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// One image: the clip starts on it.
    ImageToVideo,
    /// Two images: the clip starts on the first and ends on the second.
    StartEndFrames,
}

impl Method {
    /// The name used in marks, metadata and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageToVideo => "image_to_video",
            Self::StartEndFrames => "start_end_frames",
        }
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
