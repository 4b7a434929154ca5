//! Who is next: one generation of each client in turn, each client's own in the order they came. Where the next in turn needs another
//! model than the last had, a client further behind whose next needs that one goes before it, [`MOST_BEFORE`] times at most.
//!
//! Must not know records or the device.

use super::{Place, Waiting};
use crate::{ClientId, GenerationId, estimate::Workload};
use std::collections::VecDeque;

/// How often in a row generations of the model that is loaded go before the next in turn, so that a node with several models does
/// not load one for every generation.
pub(super) const MOST_BEFORE: usize = 4;

/// A ring of clients, each with a line of its own. A client without a line is not in the ring.
#[derive(Debug, Default)]
pub struct FairQueue {
    ring: VecDeque<(ClientId, VecDeque<Waiting>)>,
    len: usize,
    /// The model of the last that was taken.
    last: Option<String>,
    /// How often others went before the next in turn.
    before: usize,
}

impl FairQueue {
    /// Generations that wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Generations of one client that wait.
    pub fn len_of(&self, client: &ClientId) -> usize {
        self.line_of(client).map_or(0, |at| self.ring[at].1.len())
    }

    /// Puts a generation at the end of its client's line. A client new to the ring comes last in it.
    pub fn push(&mut self, client: &ClientId, waiting: Waiting) {
        self.len += 1;
        match self.line_of(client) {
            Some(at) => self.ring[at].1.push_back(waiting),
            None => self.ring.push_back((client.clone(), VecDeque::from([waiting]))),
        }
    }

    /// The next generation; its client's turn is over then.
    pub fn pop(&mut self) -> Option<Waiting> {
        let at = self.near();
        self.before = if at == 0 { 0 } else { self.before + 1 };
        let (client, mut line) = self.ring.remove(at)?;
        let waiting = line.pop_front()?;
        self.last = waiting.model().map(str::to_owned);
        self.len -= 1;
        if !line.is_empty() {
            self.ring.push_back((client, line));
        }
        Some(waiting)
    }

    /// Whose turn it is: the first in the ring, or one behind it that needs no other model than the last had.
    fn near(&self) -> usize {
        let is_near = |line: &VecDeque<Waiting>| line.front().is_some_and(|next| next.model() == self.last.as_deref());
        match self.before < MOST_BEFORE && self.last.is_some() {
            true => self.ring.iter().position(|(_, line)| is_near(line)).unwrap_or(0),
            false => 0,
        }
    }

    /// Takes a generation out of its client's line.
    pub fn remove(&mut self, client: &ClientId, id: GenerationId) -> bool {
        let Some(at) = self.line_of(client) else { return false };
        let line = &mut self.ring[at].1;
        let Some(place) = line.iter().position(|waiting| waiting.id == id) else { return false };
        line.remove(place);
        if line.is_empty() {
            self.ring.remove(at);
        }
        self.len -= 1;
        true
    }

    /// What is ahead of a generation.
    pub fn place(&self, client: &ClientId, id: GenerationId) -> Option<Place> {
        let at = self.line_of(client)?;
        let place = self.ring[at].1.iter().position(|waiting| waiting.id == id)?;
        Some(self.ahead_of(at, place))
    }

    /// What would be ahead of a new generation of this client behind others of it that come with it and take these seconds each.
    pub fn place_of_new(&self, client: &ClientId, with_it: &[Option<f64>]) -> Place {
        let new = with_it.len();
        let Place { before, seconds } = match self.line_of(client) {
            Some(at) => self.ahead_of(at, self.ring[at].1.len() + new),
            None => {
                let others = self.ahead_of(self.ring.len(), new);
                Place { before: others.before + new, ..others }
            }
        };
        let add = |sum: Option<f64>, each: &Option<f64>| sum.zip(*each).map(|(sum, each)| sum + each);
        Place { before, seconds: with_it.iter().fold(seconds, add) }
    }

    /// Estimates again what waits, now that more is known.
    pub fn estimate_again(&mut self, seconds: impl Fn(&Workload) -> Option<f64>) {
        for waiting in self.ring.iter_mut().flat_map(|(_, line)| line) {
            waiting.seconds = waiting.work.as_ref().and_then(&seconds).or(waiting.seconds);
        }
    }

    fn ahead_of(&self, at: usize, place: usize) -> Place {
        let mut ahead = Place { before: 0, seconds: Some(0.0) };
        for (other, (_, line)) in self.ring.iter().enumerate() {
            // Clients ahead in the ring have had one turn more.
            let turns = if other == at { place } else { line.len().min(place + usize::from(other < at)) };
            ahead.before += turns;
            for waiting in line.iter().take(turns) {
                ahead.seconds = ahead.seconds.zip(waiting.seconds).map(|(sum, seconds)| sum + seconds);
            }
        }
        ahead
    }

    fn line_of(&self, client: &ClientId) -> Option<usize> {
        self.ring.iter().position(|(name, _)| name == client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> ClientId {
        ClientId::new(name).unwrap()
    }

    fn waiting(id: GenerationId, seconds: Option<f64>) -> Waiting {
        Waiting { id, work: None, seconds }
    }

    fn push(queue: &mut FairQueue, client: &ClientId, id: GenerationId) {
        queue.push(client, waiting(id, Some(2.0)));
    }

    fn pop(queue: &mut FairQueue) -> Option<GenerationId> {
        queue.pop().map(|waiting| waiting.id)
    }

    #[test]
    fn clients_take_turns_and_places_say_so() {
        let mut queue = FairQueue::default();
        let names = ["a", "a", "a", "b", "c", "b"];
        let jobs: Vec<_> = names.iter().map(|name| (client(name), GenerationId::new())).collect();
        for (client, id) in &jobs {
            let expected = queue.place_of_new(client, &[]);
            push(&mut queue, client, *id);
            assert_eq!(queue.place(client, *id), Some(expected));
        }
        let order: Vec<_> = [0, 3, 4, 1, 5, 2].map(|at| jobs[at].1).to_vec();
        for (client, id) in &jobs {
            let before = order.iter().position(|other| other == id).unwrap();
            assert_eq!(queue.place(client, *id), Some(Place { before, seconds: Some(2.0 * before as f64) }));
        }
        assert_eq!((queue.len(), queue.len_of(&client("a")), queue.len_of(&client("x"))), (6, 3, 0));
        assert_eq!(std::iter::from_fn(|| pop(&mut queue)).collect::<Vec<_>>(), order);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn one_that_cannot_be_estimated_makes_the_wait_behind_it_unknown() {
        let mut queue = FairQueue::default();
        let ids = [GenerationId::new(), GenerationId::new(), GenerationId::new()];
        for (id, seconds) in ids.iter().zip([Some(1.5), None, Some(1.0)]) {
            queue.push(&client("a"), waiting(*id, seconds));
        }
        let seconds = |at: usize| queue.place(&client("a"), ids[at]).unwrap().seconds;
        assert_eq!([seconds(0), seconds(1), seconds(2)], [Some(0.0), Some(1.5), None]);
        assert_eq!(queue.place_of_new(&client("b"), &[]), Place { before: 1, seconds: Some(1.5) });
    }

    #[test]
    fn a_busy_client_does_not_keep_a_new_one_waiting() {
        let mut queue = FairQueue::default();
        for _ in 0..1000 {
            push(&mut queue, &client("busy"), GenerationId::new());
        }
        let late = GenerationId::new();
        push(&mut queue, &client("late"), late);
        assert_eq!(queue.place(&client("late"), late).map(|place| place.before), Some(1));
        assert!(pop(&mut queue).is_some_and(|first| first != late));
        assert_eq!(pop(&mut queue), Some(late));
    }

    #[test]
    fn places_of_several_that_come_together_are_those_that_they_get() {
        for with in [&["a", "a", "b"][..], &["b"], &[]] {
            let mut queue = FairQueue::default();
            with.iter().for_each(|name| push(&mut queue, &client(name), GenerationId::new()));
            let ids = [(); 3].map(|()| GenerationId::new());
            let told: Vec<_> = (0..3).map(|at| queue.place_of_new(&client("a"), &[Some(2.0); 3][..at])).collect();
            ids.iter().for_each(|id| push(&mut queue, &client("a"), *id));
            let got: Vec<_> = ids.iter().map(|id| queue.place(&client("a"), *id).unwrap()).collect();
            assert_eq!(told, got, "{with:?}");
        }
    }

    #[test]
    fn the_model_that_is_loaded_goes_first_and_no_other_waits_for_ever() {
        let mut queue = FairQueue::default();
        // Four clients with ten each: two of one model, two of another.
        for (name, model) in [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")] {
            let line =
                (0..10).map(|_| Waiting { id: GenerationId::new(), work: Some(Workload::on(model)), seconds: None });
            line.for_each(|waiting| queue.push(&client(name), waiting));
        }
        let models: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|next| next.model().unwrap().to_owned()).collect();
        let changes = models.windows(2).filter(|pair| pair[0] != pair[1]).count();
        let longest = models.chunk_by(|a, b| a == b).map(<[_]>::len).max();
        assert_eq!((models.len(), changes), (40, 7), "{models:?}");
        assert!(longest <= Some(2 + MOST_BEFORE), "{models:?}");
    }

    #[test]
    fn what_is_removed_does_not_run() {
        let mut queue = FairQueue::default();
        let (first, second) = (GenerationId::new(), GenerationId::new());
        push(&mut queue, &client("a"), first);
        push(&mut queue, &client("a"), second);
        assert!(queue.remove(&client("a"), first) && !queue.remove(&client("a"), first));
        assert!(!queue.remove(&client("b"), second));
        assert_eq!((pop(&mut queue), pop(&mut queue), queue.len()), (Some(second), None, 0));
    }
}
