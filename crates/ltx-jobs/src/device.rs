//! The device thread: it owns the engine, takes one generation after another, and outlives their panics.
//!
//! Must not know the queue or the database.

use crate::{LoadError, Models};
use ltx_engine::{Cache, EngineError, Generator, LatentStore, Outcome, PreviewSink, Run};
use ltx_media::FrameWriter;
use ltx_policy::Admitted;
use ltx_types::{CancelToken, Generation, ProgressSink};
use parking_lot::Mutex;
use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender, TryRecvError},
    },
    thread::JoinHandle,
};

/// Why the device did not generate.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The engine said why.
    #[error(transparent)]
    Generate(EngineError),
    /// The model cannot be loaded.
    #[error("model {model}: cannot be loaded")]
    Load {
        /// Its name.
        model: String,
        /// Why.
        #[source]
        source: LoadError,
    },
    /// The engine panicked. It is built anew for the next generation.
    #[error("the engine panicked: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The thread has ended.
    #[error("the device thread has ended")]
    Gone,
}

/// One generation, with everything it needs on the thread.
pub(crate) struct Task {
    pub(crate) model: String,
    pub(crate) request: Admitted<Generation>,
    pub(crate) writers: Vec<Box<dyn FrameWriter>>,
    pub(crate) progress: Box<dyn ProgressSink + Send>,
    pub(crate) cancel: CancelToken,
    pub(crate) store: Box<dyn LatentStore + Send>,
    pub(crate) previews: Box<dyn PreviewSink + Send>,
    pub(crate) cache: Box<dyn Cache + Send>,
}

/// What comes back: the writers, unfinished, beside the outcome.
pub(crate) type Made = (Outcome, Vec<Box<dyn FrameWriter>>);
type Reply = Result<Made, DeviceError>;

/// What is called when the rates are known.
type Measured = Box<dyn FnOnce() + Send>;

enum Command {
    Generate(Box<Task>, Sender<Reply>),
    Load(String, Sender<Result<(), DeviceError>>),
    /// From now on rates are measured while there is nothing else to do; what is told once they are.
    Measure(Measured),
}

/// The thread and the way to it. Dropped, it is told to end and joined.
pub(crate) struct Device {
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    loaded: Arc<Mutex<Option<String>>>,
}

impl Device {
    /// Starts the thread. No model is loaded before one is needed.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(models: Arc<dyn Models>) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        let loaded = Arc::new(Mutex::new(None));
        let told = Arc::clone(&loaded);
        // The owner is made on the thread: an engine need not be able to leave it.
        let thread = std::thread::Builder::new()
            .name("device".into())
            .spawn(move || Owner { models, engine: None, loaded: told, measuring: None }.serve(&inbox))?;
        Ok(Self { commands: Some(commands), thread: Some(thread), loaded })
    }

    /// Queues a generation; the reply comes when it ends.
    pub(crate) fn generate(&self, task: Task) -> Receiver<Reply> {
        let (reply, answer) = mpsc::channel();
        self.send(Command::Generate(Box::new(task), reply));
        answer
    }

    /// Loads a model ahead of its first generation.
    pub(crate) fn load(&self, model: String) -> Receiver<Result<(), DeviceError>> {
        let (reply, answer) = mpsc::channel();
        self.send(Command::Load(model, reply));
        answer
    }

    /// Measures the machine's rates, piece by piece, while there is nothing else to do; calls `measured` behind the last.
    pub(crate) fn measure(&self, measured: impl FnOnce() + Send + 'static) {
        self.send(Command::Measure(Box::new(measured)));
    }

    /// The model that is loaded.
    pub(crate) fn loaded(&self) -> Option<String> {
        self.loaded.lock().clone()
    }

    fn send(&self, command: Command) {
        // A thread that has ended drops the command and with it the reply's sender, which the receiver notices.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.commands = None;
        // Panics are caught on the thread; there is nobody left to tell about another.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What lives on the thread.
struct Owner {
    models: Arc<dyn Models>,
    engine: Option<(String, Box<dyn Generator>)>,
    loaded: Arc<Mutex<Option<String>>>,
    measuring: Option<Measured>,
}

impl Owner {
    fn serve(mut self, inbox: &Receiver<Command>) {
        while let Some(command) = self.next(inbox) {
            // Nobody waits for a reply only when the node ends.
            let _ = match command {
                Command::Generate(task, reply) => reply.send(self.generate(*task)).is_ok(),
                Command::Load(model, reply) => reply.send(self.caught(|owner| owner.load(&model))).is_ok(),
                Command::Measure(measured) => self.measuring.replace(measured).is_some(),
            };
        }
    }

    /// The next command; while none is there, rates are measured. `None` at the end.
    fn next(&mut self, inbox: &Receiver<Command>) -> Option<Command> {
        loop {
            if self.measuring.is_none() {
                return inbox.recv().ok();
            }
            match inbox.try_recv() {
                Ok(command) => return Some(command),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            // What panics is not known; it is not tried again.
            let more = catch_unwind(AssertUnwindSafe(|| self.models.measure_rates())).unwrap_or(false);
            if !more && let Some(measured) = self.measuring.take() {
                measured();
            }
        }
    }

    fn generate(&mut self, task: Task) -> Reply {
        self.caught(move |owner| {
            let Task { model, request, mut writers, progress, cancel, store, previews, cache } = task;
            cancel.check().map_err(EngineError::from).map_err(DeviceError::Generate)?;
            owner.load(&model)?;
            let (_, engine) = owner.engine.as_mut().ok_or(DeviceError::Gone)?;
            let run =
                Run { progress: &*progress, cancel: &cancel, store: &*store, previews: &*previews, cache: &*cache };
            let outcome = engine.generate(&request, &mut writers, &run).map_err(DeviceError::Generate)?;
            Ok((outcome, writers))
        })
    }

    fn load(&mut self, model: &str) -> Result<(), DeviceError> {
        if self.engine.as_ref().is_some_and(|(name, _)| name == model) {
            return Ok(());
        }
        // Before the new one, so that two models are never in memory together.
        self.unload();
        let engine = self.models.load(model);
        let engine = engine.map_err(|source| DeviceError::Load { model: model.to_owned(), source })?;
        self.engine = Some((model.to_owned(), engine));
        self.say_loaded(Some(model));
        Ok(())
    }

    fn unload(&mut self) {
        self.engine = None;
        self.say_loaded(None);
    }

    fn say_loaded(&self, model: Option<&str>) {
        *self.loaded.lock() = model.map(str::to_owned);
    }

    /// Does something that may panic; an engine that did is not used again.
    fn caught<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, DeviceError>) -> Result<T, DeviceError> {
        match catch_unwind(AssertUnwindSafe(|| work(self))) {
            Ok(result) => result,
            Err(panic) => {
                // An engine whose drop panics too is leaked rather than taken to the thread's end.
                let _ = catch_unwind(AssertUnwindSafe(|| self.unload()));
                Err(DeviceError::Panicked { message: panic_message(&*panic) })
            }
        }
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").chars().take(500).collect()
}
