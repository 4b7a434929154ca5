//! Who is next: one generation of each client in turn, each client's own in the order they came.
//!
//! Must not know the database; it is rebuilt from there at every start.

use crate::{ClientId, GenerationId};
use std::collections::VecDeque;

/// A ring of clients, each with a line of its own. A client without a line is not in the ring.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    ring: VecDeque<(ClientId, VecDeque<GenerationId>)>,
    len: usize,
}

impl FairQueue {
    /// Generations that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Generations of one client that wait.
    pub(crate) fn len_of(&self, client: &ClientId) -> usize {
        self.line_of(client).map_or(0, |at| self.ring[at].1.len())
    }

    /// Puts a generation at the end of its client's line. A client new to the ring comes last in it.
    pub(crate) fn push(&mut self, client: &ClientId, id: GenerationId) {
        self.len += 1;
        match self.line_of(client) {
            Some(at) => self.ring[at].1.push_back(id),
            None => self.ring.push_back((client.clone(), VecDeque::from([id]))),
        }
    }

    /// The next generation; its client's turn is over then.
    pub(crate) fn pop(&mut self) -> Option<GenerationId> {
        let (client, mut line) = self.ring.pop_front()?;
        let id = line.pop_front()?;
        self.len -= 1;
        if !line.is_empty() {
            self.ring.push_back((client, line));
        }
        Some(id)
    }

    /// Takes a generation out of its client's line.
    pub(crate) fn remove(&mut self, client: &ClientId, id: GenerationId) -> bool {
        let Some(at) = self.line_of(client) else { return false };
        let line = &mut self.ring[at].1;
        let Some(place) = line.iter().position(|waiting| *waiting == id) else { return false };
        line.remove(place);
        if line.is_empty() {
            self.ring.remove(at);
        }
        self.len -= 1;
        true
    }

    /// How many generations would run before this one if nothing else came.
    pub(crate) fn position(&self, client: &ClientId, id: GenerationId) -> Option<usize> {
        let at = self.line_of(client)?;
        let place = self.ring[at].1.iter().position(|waiting| *waiting == id)?;
        let others = self.ring.iter().enumerate().filter(|(other, _)| *other != at);
        // Clients ahead in the ring have had one turn more.
        let before = others.map(|(other, (_, line))| line.len().min(place + usize::from(other < at)));
        Some(place + before.sum::<usize>())
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

    #[test]
    fn clients_take_turns_and_positions_say_so() {
        let mut queue = FairQueue::default();
        let names = ["a", "a", "a", "b", "c", "b"];
        let jobs: Vec<_> = names.iter().map(|name| (client(name), GenerationId::new())).collect();
        for (client, id) in &jobs {
            queue.push(client, *id);
        }
        let order: Vec<_> = [0, 3, 4, 1, 5, 2].map(|at| jobs[at].1).to_vec();
        for (client, id) in &jobs {
            assert_eq!(queue.position(client, *id), order.iter().position(|other| other == id));
        }
        assert_eq!((queue.len(), queue.len_of(&client("a")), queue.len_of(&client("x"))), (6, 3, 0));
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), order);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_busy_client_does_not_keep_a_new_one_waiting() {
        let mut queue = FairQueue::default();
        for _ in 0..1000 {
            queue.push(&client("busy"), GenerationId::new());
        }
        let late = GenerationId::new();
        queue.push(&client("late"), late);
        assert_eq!(queue.position(&client("late"), late), Some(1));
        assert!(queue.pop().is_some_and(|first| first != late));
        assert_eq!(queue.pop(), Some(late));
    }

    #[test]
    fn what_is_removed_does_not_run() {
        let mut queue = FairQueue::default();
        let (first, second) = (GenerationId::new(), GenerationId::new());
        queue.push(&client("a"), first);
        queue.push(&client("a"), second);
        assert!(queue.remove(&client("a"), first) && !queue.remove(&client("a"), first));
        assert!(!queue.remove(&client("b"), second));
        assert_eq!((queue.pop(), queue.pop(), queue.len()), (Some(second), None, 0));
    }
}
