//! What a session holds, counted anew: bytes in flight, credit, and memory.

use stt_proto::inspect::{PathCount, Recount, RecvCount, StreamsCount};

/// Packets that demand no ACK and are followed at most.
const MAX_SILENT: usize = 256;
/// Acknowledged packets that wait for older ones: the packet threshold (RFC 9002 section 6.1.1)
/// adapts up to so many.
const MAX_WAITING: usize = 256;
/// Lost packets that are remembered.
const MAX_LOST: usize = 1024;
/// Ranges of packet numbers for ACKs.
const MAX_RANGES: usize = 128;
/// Answers to KEEP_ALIVE that are owed at once.
const MAX_ECHOES: usize = 4;
/// Runs out of order that a session always may keep, and bytes of its window for each above.
const MIN_RUNS: u64 = 4096;
const WINDOW_PER_RUN: u64 = 256;

/// How much work a count of this session was.
pub(super) fn size(count: &Recount) -> usize {
    count.path.records
        + count.former.map_or(0, |former| former.records)
        + count.streams.streams.len()
}

/// Whether what a session keeps is what it stands for, and within its bounds.
pub(super) fn check(count: &Recount) -> Result<(), String> {
    check_path(&count.path)?;
    if let Some(former) = &count.former {
        check_path(former).map_err(|what| format!("on the path before: {what}"))?;
    }
    within("ranges for ACKs", count.ack_ranges, MAX_RANGES)?;
    within("answers to KEEP_ALIVE", count.echoes, MAX_ECHOES)?;
    for (name, (cost, limit)) in ["to be sent", "to be read"].into_iter().zip(count.messages) {
        if cost > limit {
            return Err(format!("messages {name} cost {cost} bytes of {limit}"));
        }
    }
    check_streams(&count.streams)
}

fn within(what: &str, count: usize, most: usize) -> Result<(), String> {
    if count > most { Err(format!("{count} {what}, of {most} at most")) } else { Ok(()) }
}

fn check_path(path: &PathCount) -> Result<(), String> {
    for (what, [kept, counted]) in [("bytes", path.in_flight), ("packets", path.eliciting)] {
        if kept != counted {
            return Err(format!("{kept} {what} count as in flight, and {counted} are"));
        }
    }
    if path.contents[0] != path.contents[1] {
        return Err(format!(
            "packets carry {} frames of {} kept",
            path.contents[1], path.contents[0]
        ));
    }
    if path.is_unordered {
        return Err("the packets in flight are not in order".to_owned());
    }
    within("silent packets are followed", path.silent, MAX_SILENT)?;
    within("acknowledged packets wait", path.records - path.outstanding, MAX_WAITING)?;
    within("lost packets are remembered", path.lost, MAX_LOST)
}

fn check_streams(streams: &StreamsCount) -> Result<(), String> {
    let (send, recv) = (&streams.send, &streams.recv);
    if send.used > send.limit || send.counted > send.used {
        return Err(format!("more credit of the session was used than there is: {send:?}"));
    }
    check_recv(recv).map_err(|what| format!("{what} over all streams: {recv:?}"))?;
    let runs = MIN_RUNS.max(recv.max_window / WINDOW_PER_RUN);
    if !streams.has_ended && (recv.runs != streams.runs || recv.runs > runs) {
        return Err(format!(
            "{} runs out of order, {} kept, {runs} allowed",
            recv.runs, streams.runs
        ));
    }
    let [kept, counted, most] = streams.large_tails;
    if !streams.has_ended && (kept != counted || kept > most) {
        return Err(format!("{counted} streams fill a large block, {kept} kept, {most} allowed"));
    }
    let mut open = streams.orphaned;
    for stream in &streams.streams {
        if let Some(send) = stream.send
            && (send.used > send.limit || send.used != send.counted)
        {
            return Err(format!("the credit of {:?} is not what was sent: {send:?}", stream.id));
        }
        if let Some(recv) = &stream.recv {
            check_recv(recv).map_err(|what| format!("{what} on {:?}: {recv:?}", stream.id))?;
            open += recv.received - recv.consumed;
        }
    }
    if !streams.has_ended && open != recv.received - recv.consumed {
        return Err(format!(
            "the session's credit is not the sum of its streams': {open} bytes there, {recv:?}"
        ));
    }
    for [bidirectional, unidirectional] in streams.live {
        within("bidirectional streams", bidirectional.1, bidirectional.0)?;
        within("unidirectional streams", unidirectional.1, unidirectional.0)?;
    }
    // Between two of them is a stream that lives, or that could.
    let most = streams.live[1].iter().map(|(limit, _)| *limit).max().unwrap_or(0) + 1;
    within("ranges of streams that are over", streams.closed_ranges, most)
}

fn check_recv(recv: &RecvCount) -> Result<(), &'static str> {
    if recv.received > recv.limit || recv.consumed > recv.received {
        return Err("the peer has used more credit than it was given");
    }
    if recv.held > recv.received - recv.consumed {
        return Err("more lies in buffers than came and was not consumed");
    }
    if recv.limit - recv.consumed > recv.max_window {
        return Err("more credit was given than the largest window");
    }
    Ok(())
}

/// Whether what one side of a session believes of credit is what the other gave.
pub(super) fn check_credit(sender: &StreamsCount, receiver: &StreamsCount) -> Result<(), String> {
    if sender.has_ended || receiver.has_ended {
        return Ok(());
    }
    let (send, recv) = (&sender.send, &receiver.recv);
    if send.limit > recv.limit || recv.received > send.used {
        return Err(format!("the session's credit differs: {send:?} here, {recv:?} at the peer"));
    }
    // Both lists are in the order of ids.
    let mut theirs = receiver.streams.iter().peekable();
    for stream in &sender.streams {
        while theirs.next_if(|other| other.id.as_u32() < stream.id.as_u32()).is_some() {}
        let Some(send) = stream.send else { continue };
        let same = theirs.next_if(|other| other.id == stream.id);
        let Some(recv) = same.and_then(|other| other.recv) else { continue };
        if send.limit > recv.limit || recv.received > send.used {
            let id = stream.id;
            return Err(format!(
                "the credit of {id:?} differs: {send:?} here, {recv:?} at the peer"
            ));
        }
    }
    Ok(())
}
