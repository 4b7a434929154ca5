//! Who is next: one generation of each client in turn, each client's own in the order they came.
//!
//! Must not know records or the device.

use super::{Place, Waiting};
use crate::{ClientId, GenerationId, estimate::Workload};
use std::collections::VecDeque;

/// A ring of clients, each with a line of its own. A client without a line is not in the ring.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    ring: VecDeque<(ClientId, VecDeque<Waiting>)>,
    len: usize,
}

impl FairQueue {
    /// Generations that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Generations of one client that wait.
    pub(super) fn len_of(&self, client: &ClientId) -> usize {
        self.line_of(client).map_or(0, |at| self.ring[at].1.len())
    }

    /// Puts a generation at the end of its client's line. A client new to the ring comes last in it.
    pub(super) fn push(&mut self, client: &ClientId, waiting: Waiting) {
        self.len += 1;
        match self.line_of(client) {
            Some(at) => self.ring[at].1.push_back(waiting),
            None => self.ring.push_back((client.clone(), VecDeque::from([waiting]))),
        }
    }

    /// The next generation; its client's turn is over then.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let (client, mut line) = self.ring.pop_front()?;
        let waiting = line.pop_front()?;
        self.len -= 1;
        if !line.is_empty() {
            self.ring.push_back((client, line));
        }
        Some(waiting)
    }

    /// Takes a generation out of its client's line.
    pub(super) fn remove(&mut self, client: &ClientId, id: GenerationId) -> bool {
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
    pub(super) fn place(&self, client: &ClientId, id: GenerationId) -> Option<Place> {
        let at = self.line_of(client)?;
        let place = self.ring[at].1.iter().position(|waiting| waiting.id == id)?;
        Some(self.ahead_of(at, place))
    }

    /// What would be ahead of a new generation of this client.
    pub(super) fn place_of_new(&self, client: &ClientId) -> Place {
        match self.line_of(client) {
            Some(at) => self.ahead_of(at, self.ring[at].1.len()),
            None => self.ahead_of(self.ring.len(), 0),
        }
    }

    /// Estimates again what waits, now that more is known.
    pub(super) fn estimate_again(&mut self, seconds: impl Fn(&Workload) -> Option<f64>) {
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
            let expected = queue.place_of_new(client);
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
        assert_eq!(queue.place_of_new(&client("b")), Place { before: 1, seconds: Some(1.5) });
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
