//! Bytes that wait for one peer.
//!
//! An [`Outbox`] is a list of shared frames whose nodes lie in one [`Arena`] for each reactor: a connection
//! with nothing to send owns no memory for it, and a fan-out allocates nothing for each subscriber.

use bytes::Bytes;

/// Most bytes of one send, so that one peer cannot hog a turn.
pub const MAX_SEND_BYTES: usize = 65_536;
const NONE: u32 = u32::MAX;
/// An empty arena keeps room for this many nodes; a larger one gives its memory back.
const KEPT_NODES: usize = 4096;

/// The nodes of all outboxes of a reactor.
pub struct Arena {
    nodes: Vec<Node>,
    free: u32,
    used: usize,
    bytes: usize,
}

struct Node {
    frame: Bytes,
    next: u32,
}

impl Default for Arena {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            used: 0,
            bytes: 0,
        }
    }
}

impl Arena {
    /// Bytes in all outboxes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn insert(&mut self, frame: Bytes) -> u32 {
        self.used += 1;
        self.bytes += frame.len();
        let node = Node { frame, next: NONE };
        if self.free == NONE {
            self.nodes.push(node);
            return u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 frames are queued");
        }
        let at = self.free;
        self.free = self.nodes[at as usize].next;
        self.nodes[at as usize] = node;
        at
    }

    /// Frees the node and returns the one after it.
    fn remove(&mut self, at: u32) -> u32 {
        let free = Node {
            frame: Bytes::new(),
            next: self.free,
        };
        let node = std::mem::replace(&mut self.nodes[at as usize], free);
        self.free = at;
        self.used -= 1;
        if self.used == 0 && self.nodes.len() > KEPT_NODES {
            self.nodes = Vec::new();
            self.free = NONE;
        }
        node.next
    }
}

/// The frames that wait for one peer, in order; the first may have left in part.
#[derive(Debug)]
pub struct Outbox {
    head: u32,
    tail: u32,
    /// Bytes of the first frame that have left.
    sent: usize,
    bytes: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            sent: 0,
            bytes: 0,
        }
    }
}

impl Outbox {
    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Queues `frame`.
    pub fn push(&mut self, frame: Bytes, arena: &mut Arena) {
        if frame.is_empty() {
            return;
        }
        self.bytes += frame.len();
        let at = arena.insert(frame);
        match self.tail {
            NONE => self.head = at,
            tail => arena.nodes[tail as usize].next = at,
        }
        self.tail = at;
    }

    /// What to send next: at most `MAX_SEND_BYTES`, contiguous; empty if nothing waits.
    #[must_use]
    pub fn front<'a>(&self, arena: &'a Arena, run: &'a mut Run) -> &'a [u8] {
        let Some(first) = arena.nodes.get(self.head as usize) else {
            return &[];
        };
        let rest = &first.frame[self.sent..];
        if first.next == NONE || rest.len() >= MAX_SEND_BYTES {
            return &rest[..rest.len().min(MAX_SEND_BYTES)];
        }
        run.gather(self, arena)
    }

    /// Forgets the first `n` bytes: they have left.
    pub fn advance(&mut self, mut n: usize, arena: &mut Arena) {
        self.bytes -= n;
        arena.bytes -= n;
        n += self.sent;
        while self.head != NONE {
            let len = arena.nodes[self.head as usize].frame.len();
            if n < len {
                break;
            }
            n -= len;
            self.head = arena.remove(self.head);
        }
        self.sent = n;
        if self.head == NONE {
            self.tail = NONE;
        }
    }

    /// Forgets everything, save the rest of a frame that has left in part.
    pub fn drop_whole_frames(&mut self, arena: &mut Arena) {
        let partial = (self.sent > 0).then(|| (arena.nodes[self.head as usize].frame.clone(), self.sent));
        self.clear(arena);
        if let Some((frame, sent)) = partial {
            self.push(frame.slice(sent..), arena);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self, arena: &mut Arena) {
        self.advance(self.bytes, arena);
    }
}

/// The frames of an outbox copied into one buffer, kept for the next outbox that owes the same frames.
///
/// One contiguous send beats `writev` by a tenth, and after a burst into a room thousands of outboxes hold
/// the same run: then not even the copy is repeated.
#[derive(Default)]
pub struct Run {
    /// Held so that equal addresses mean equal frames.
    frames: Vec<Bytes>,
    bytes: Vec<u8>,
}

impl Run {
    /// Lets go of the frames; call it when the outboxes have been flushed.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    fn gather<'a>(&'a mut self, outbox: &Outbox, arena: &Arena) -> &'a [u8] {
        if outbox.sent > 0 || !self.is_front_of(outbox, arena) {
            self.frames.clear();
            self.bytes.clear();
            let mut from = outbox.sent;
            for frame in frames(outbox.head, arena) {
                if self.bytes.len() + frame.len() - from > MAX_SEND_BYTES {
                    break;
                }
                self.bytes.extend_from_slice(&frame[from..]);
                self.frames.push(frame.clone());
                from = 0;
            }
            if outbox.sent > 0 {
                self.frames.clear(); // begins in the middle of a frame: of no use to others
            }
        }
        &self.bytes
    }

    /// Whether `gather` would make the same bytes for `outbox`.
    fn is_front_of(&self, outbox: &Outbox, arena: &Arena) -> bool {
        let mut waiting = frames(outbox.head, arena);
        let same = |frame: &Bytes| {
            waiting
                .next()
                .is_some_and(|next| std::ptr::eq::<[u8]>(&**next, &**frame))
        };
        !self.frames.is_empty()
            && self.frames.iter().all(same)
            && waiting
                .next()
                .is_none_or(|next| self.bytes.len() + next.len() > MAX_SEND_BYTES)
    }
}

fn frames(head: u32, arena: &Arena) -> impl Iterator<Item = &Bytes> {
    std::iter::successors(arena.nodes.get(head as usize), |node| {
        arena.nodes.get(node.next as usize)
    })
    .map(|node| &node.frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes_of(outbox: &Outbox, arena: &Arena) -> Vec<u8> {
        let all: Vec<u8> = frames(outbox.head, arena).flatten().copied().collect();
        all[outbox.sent..].to_vec()
    }

    #[test]
    fn outboxes_that_owe_the_same_frames_share_one_run() {
        let (mut arena, mut run) = (Arena::default(), Run::default());
        let (mut one, mut two, mut three) = (Outbox::default(), Outbox::default(), Outbox::default());
        for frame in [Bytes::from_static(b"ab"), Bytes::from_static(b"cd")] {
            one.push(frame.clone(), &mut arena);
            two.push(frame.clone(), &mut arena);
            three.push(frame, &mut arena);
        }
        three.push(Bytes::from_static(b"e"), &mut arena);
        let first = one.front(&arena, &mut run).as_ptr();
        assert_eq!(two.front(&arena, &mut run).as_ptr(), first);
        assert_eq!(two.front(&arena, &mut run), b"abcd");
        assert_eq!(three.front(&arena, &mut run), b"abcde");
    }

    #[test]
    fn a_send_is_capped() {
        let (mut arena, mut run) = (Arena::default(), Run::default());
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from(vec![1; MAX_SEND_BYTES * 2 + 5]), &mut arena);
        outbox.push(Bytes::from(vec![2; MAX_SEND_BYTES - 5]), &mut arena);
        outbox.push(Bytes::from_static(b"x"), &mut arena);
        let mut sends = Vec::new();
        while !outbox.is_empty() {
            let n = outbox.front(&arena, &mut run).len();
            sends.push(n);
            outbox.advance(n, &mut arena);
        }
        assert_eq!(sends, [MAX_SEND_BYTES, MAX_SEND_BYTES, MAX_SEND_BYTES, 1]);
        assert_eq!(arena.bytes(), 0);
    }

    #[test]
    fn a_frame_that_has_begun_is_finished() {
        let mut arena = Arena::default();
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"hello"), &mut arena);
        outbox.push(Bytes::from_static(b"world"), &mut arena);
        outbox.advance(2, &mut arena);
        outbox.drop_whole_frames(&mut arena);
        assert_eq!(bytes_of(&outbox, &arena), b"llo");
        outbox.advance(3, &mut arena);
        outbox.push(Bytes::from_static(b"again"), &mut arena);
        outbox.drop_whole_frames(&mut arena);
        assert!(outbox.is_empty());
        assert_eq!(arena.used, 0);
    }

    #[test]
    fn an_arena_gives_its_memory_back() {
        let mut arena = Arena::default();
        let mut outbox = Outbox::default();
        for _ in 0..=KEPT_NODES {
            outbox.push(Bytes::from_static(b"x"), &mut arena);
        }
        outbox.clear(&mut arena);
        assert_eq!(arena.nodes.capacity(), 0);
        outbox.push(Bytes::from_static(b"y"), &mut arena);
        assert_eq!(bytes_of(&outbox, &arena), b"y");
    }

    proptest! {
        /// However frames are queued and leave, each peer gets its bytes, once and in order.
        #[test]
        fn bytes_leave_in_order(steps in prop::collection::vec((0usize..3, 1usize..40_000, any::<bool>()), 1..60)) {
            let (mut arena, mut run) = (Arena::default(), Run::default());
            let mut outboxes = [Outbox::default(), Outbox::default(), Outbox::default()];
            let mut owed = [Vec::new(), Vec::new(), Vec::new()];
            let shared = Bytes::from((0..40_000u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<_>>());
            for (at, n, push) in steps {
                if push {
                    let frame = shared.slice(..n);
                    owed[at].extend_from_slice(&frame);
                    outboxes[at].push(frame, &mut arena);
                } else {
                    let front = outboxes[at].front(&arena, &mut run);
                    let n = n.min(front.len());
                    prop_assert_eq!(&front[..n], &owed[at][..n]);
                    prop_assert!(!front.is_empty() || owed[at].is_empty());
                    owed[at].drain(..n);
                    outboxes[at].advance(n, &mut arena);
                }
                prop_assert_eq!(outboxes[at].bytes(), owed[at].len());
                prop_assert_eq!(arena.bytes(), owed.iter().map(Vec::len).sum::<usize>());
            }
        }
    }
}
