//! Images in, MP4 and PNG frames out. The only home of FFmpeg.
