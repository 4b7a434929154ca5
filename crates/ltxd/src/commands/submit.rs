//! `ltxd submit`: asks a node for a clip; with `--wait` follows it, with `--out` fetches it too.
//!
//! Must not know what is legal; the node says so.

use super::watch::Teller;
use crate::{
    client::{
        Connection, Node,
        fault::Fault,
        fetch::Fetch,
        follow::{Ended, Follow},
        json,
        preview::PreviewFile,
        spec::SpecFlags,
    },
    exit::Code,
    outputs::Written,
    several::{SeveralFlags, named_by_seed},
};
use anyhow::Result;
use ltx_proto::v1::{CreateGenerationRequest, Generation, GenerationSpec, Output};
use ltx_types::{FieldErrors, Seed};
use std::{path::PathBuf, process::ExitCode, time::Duration};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    spec: SpecFlags,
    #[command(flatten)]
    several: SeveralFlags,
    /// This client's own id for the request: used again with the same request, it gives the same generation.
    #[arg(long, value_name = "ID", default_value = "")]
    request_id: String,
    /// Follow the generation until it ends. Ctrl-C stops the following, not the generation.
    #[arg(long)]
    wait: bool,
    /// Fetch the MP4 into this file once it is done; its name ends in .mp4. Implies --wait.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Ask for previews (small pictures of the clip in the making) and keep the latest in this PNG file; implies --wait.
    #[arg(long, value_name = "FILE")]
    preview: Option<PathBuf>,
    /// For how long a node that goes away is tried again, with --wait.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    /// Print JSON: the generation; with --wait an object a line, as `watch` does, after it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    json::with_violations(submit(arguments), arguments.json)
}

fn submit(arguments: &Arguments) -> Result<ExitCode> {
    let outputs = [(Written::Mp4, "out", &arguments.out), (Written::Png, "preview", &arguments.preview)];
    for (written, field, to) in outputs {
        to.as_deref().map_or(Ok(()), |to| written.check_name(field, to))?;
    }
    let (_, further) = arguments.several.outputs().map_err(FieldErrors::from)?.seeds(Seed(0));
    for (written, field, to) in outputs {
        // The names of several are not known before the node has drawn their seeds.
        to.as_deref().filter(|_| further.is_empty()).map_or(Ok(()), |to| written.check_place(field, to))?;
    }
    arguments.connection.run(async |node| {
        let spec = arguments.spec.with_images(&node).await?;
        let request = CreateGenerationRequest {
            request_id: arguments.request_id.clone(),
            spec: Some(spec),
            seeds: arguments.several.seeds.clone(),
            count: arguments.several.count.unwrap_or(0),
        };
        let answer = node.generations().create_generation(request).await.map_err(Fault::from)?.into_inner();
        answer.notes.iter().for_each(|said| eprintln!("{} {}", said.field, said.note));
        let first = answer.generation.ok_or_else(|| Fault::nonsense("generation"))?;
        let of_further = |further: Generation| {
            let seed = further.spec.and_then(|spec| spec.seed);
            Generation { spec: first.spec.clone().map(|spec| GenerationSpec { seed, ..spec }), ..further }
        };
        let further: Vec<_> = answer.further.into_iter().map(of_further).collect();
        let made = [vec![first], further].concat();
        let waits = arguments.wait || arguments.out.is_some() || arguments.preview.is_some();
        for generation in &made {
            match (arguments.json, waits) {
                (true, _) => println!("{}", json::generation(generation)),
                (false, false) => println!("{}", generation.id),
                (false, true) => eprintln!("generation {}; to follow it from elsewhere: ltxd watch {0}", generation.id),
            }
        }
        let mut code = Code::Done;
        for generation in made.iter().filter(|_| waits) {
            let ended = arguments.follow(&node, generation, made.len() > 1).await?;
            // Of several, the first that came to something else.
            code = if let Code::Done = code { ended.code() } else { code };
        }
        Ok(code.into())
    })
}

impl Arguments {
    /// Follows a generation until it ends, and fetches its clip where that is wanted; the seed is in the names of one `of_several`.
    async fn follow(&self, node: &Node, generation: &Generation, of_several: bool) -> Result<Ended> {
        let seed = Seed(generation.spec.as_ref().and_then(|spec| spec.seed).unwrap_or_default());
        let named = |name: &PathBuf| if of_several { named_by_seed(name, seed) } else { name.clone() };
        let patience = Duration::from_secs(self.patience);
        let teller = Teller::new(&generation.id, self.json);
        let preview = self.preview.as_ref().map(named);
        let preview = PreviewFile::new(preview.as_deref());
        let previews = preview.is_wanted();
        let follow = Follow { id: generation.id.clone(), resume_after: 0, previews, patience };
        let ended = follow.until_it_ends(node, |news| {
            preview.see(news);
            teller.tell(news);
        });
        let ended = ended.await;
        teller.clear();
        let ended = ended?;
        if let (Ended::Done, Some(to)) = (&ended, self.out.as_ref().map(named)) {
            let file = Fetch { id: &generation.id, output: Output::Mp4, to: &to, patience }.run(node).await?;
            if !self.json {
                eprintln!("{}: {} bytes, SHA-256 {}", to.display(), file.total_bytes, file.sha256);
            }
        }
        preview.finish()?;
        Ok(ended)
    }
}
