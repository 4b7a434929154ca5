//! `ltxd watch`: a generation's events until it ends, as a bar or as JSON lines.
//!
//! Must not know how a broken connection is mended.

use crate::{
    client::{Connection, follow::Follow, json, preview::PreviewFile, text, words},
    exit::Code,
    outputs::Written,
    progress::Bar,
};
use anyhow::Result;
use ltx_proto::v1::{self, Queued, generation_event::Event, watch_generation_response::News};
use ltx_types::{Progress, Stage};
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The generation's id.
    id: String,
    /// The number of the last event seen before; the events after it follow.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    resume_after: u64,
    /// Ask for previews (small pictures of the clip in the making) and keep the latest in this PNG file.
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// For how long a node that goes away is tried again.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    /// Print every event as a JSON object on a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(to) = &arguments.preview {
        Written::Png.check("preview", to)?;
    }
    arguments.connection.run(async |node| {
        let teller = Teller::new(&arguments.id, arguments.json);
        let preview = PreviewFile::new(arguments.preview.as_deref());
        let follow = Follow {
            id: arguments.id.clone(),
            resume_after: arguments.resume_after,
            previews: preview.is_wanted(),
            patience: Duration::from_secs(arguments.patience),
        };
        let ended = follow.until_it_ends(&node, |news| {
            preview.see(news);
            teller.tell(news);
        });
        let ended = ended.await;
        teller.clear();
        let ended = ended?;
        preview.finish()?;
        Ok(Code::into(ended.code()))
    })
}

/// Says what happens.
pub(crate) struct Teller {
    id: String,
    bar: Bar,
    json: bool,
}

impl Teller {
    pub(crate) fn new(id: &str, json: bool) -> Self {
        Self { id: id.to_owned(), bar: Bar::from_afar(json), json }
    }

    pub(crate) fn tell(&self, news: &News) {
        if self.json {
            println!("{}", json::news(&self.id, news));
            return;
        }
        let event = match news {
            News::Place(Queued { position, seconds_left }) => return self.bar.waiting(*position, *seconds_left),
            News::Event(event) => event,
        };
        match &event.event {
            Some(Event::Queued(Queued { position, seconds_left })) => self.bar.waiting(*position, *seconds_left),
            Some(Event::Running(running)) if running.resumed => self.say("it goes on from its last step"),
            Some(Event::Progress(progress)) => self.progress(progress),
            Some(Event::Done(done)) => self.say(&done.generation.as_ref().map(text::generation).unwrap_or_default()),
            Some(Event::Failed(failed)) => {
                let failure = failed.failure.clone().unwrap_or_default();
                self.say(&format!("ltxd: {}: {}", words::failure(failure.reason()), failure.message));
            }
            Some(Event::Cancelling(_)) => self.say("asked to cancel it; it stops at its next step"),
            Some(Event::Cancelled(_)) => self.say("cancelled"),
            Some(Event::Running(_)) | None => {}
        }
    }

    fn progress(&self, progress: &v1::Progress) {
        let stage = match progress.stage() {
            v1::Stage::Unspecified => return,
            v1::Stage::TextEncoding => Stage::TextEncoding,
            v1::Stage::ImageEncoding => Stage::ImageEncoding,
            v1::Stage::Denoising => Stage::Denoising,
            v1::Stage::Upsampling => Stage::Upsampling,
            v1::Stage::Refining => Stage::Refining,
            v1::Stage::Decoding => Stage::Decoding,
        };
        let report = Progress { stage, done: progress.step as usize, total: progress.steps as usize };
        self.bar.report_from_afar(report, progress.seconds_left);
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    pub(crate) fn clear(&self) {
        self.bar.clear();
    }
}
