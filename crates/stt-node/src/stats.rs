//! Counters, as plain objects. All only grow, but for those that their name or the crate they come
//! from calls gauges. Times are in milliseconds.

use std::time::Duration;

use napi_derive::napi;
use stt_engine::EngineStats;
use stt_proto::SessionStats;

/// One session in numbers.
#[napi(object, object_from_js = false)]
pub struct NativeSessionStats {
    pub packets_sent: f64,
    pub packets_received: f64,
    pub packets_lost: f64,
    pub packets_duplicate: f64,
    pub bytes_sent: f64,
    pub bytes_received: f64,
    pub smoothed_rtt: f64,
    pub rtt_variation: f64,
    pub min_rtt: f64,
    pub congestion_window: f64,
    pub bytes_in_flight: f64,
    pub path_bytes_acked: f64,
    pub path_bytes_received: f64,
    pub congestion_events: f64,
    pub probe_timeouts: f64,
    pub key_updates: f64,
    pub mtu: f64,
    pub send_errors: f64,
    pub invalid_frames: f64,
    pub encryption_errors: f64,
    pub checksum_errors: f64,
    pub unknown_frames: f64,
    pub messages_sent: f64,
    pub messages_lost: f64,
    pub messages_received: f64,
    pub messages_dropped_sending: f64,
    pub messages_dropped_receiving: f64,
    pub bytes_given_up: f64,
    pub bytes_skipped: f64,
}

/// One endpoint in numbers.
#[napi(object, object_from_js = false)]
pub struct NativeEndpointStats {
    pub datagrams_received: f64,
    pub datagrams_sent: f64,
    pub bytes_received: f64,
    pub bytes_sent: f64,
    pub sessions: f64,
    pub half_open: f64,
    pub hello_unknown_seed: f64,
    pub hello_expired: f64,
    pub hello_replayed: f64,
    pub hello_shed: f64,
    pub proof_failed: f64,
    pub sessions_resumed: f64,
    pub tickets_refused: f64,
    pub retries_sent: f64,
    pub decoys_sent: f64,
    pub resets_sent: f64,
    pub unknown_path: f64,
    pub memory_used: f64,
    /// Infinity when there is none.
    pub memory_limit: f64,
    pub memory_refused: f64,
    pub rtt_samples: f64,
    pub rtt_p50: f64,
    pub rtt_p99: f64,
    pub invalid_frames: f64,
    pub encryption_errors: f64,
    pub checksum_errors: f64,
    pub unknown_frames: f64,
    pub engine_turns: f64,
    pub short_turns: f64,
    pub loop_turns: f64,
    pub connection_turns: f64,
    pub loop_alone: f64,
    pub loop_relieved: f64,
    pub engine_sleeps: f64,
    pub receive_calls: f64,
    pub send_calls: f64,
    pub send_errors: f64,
    pub send_blocked: f64,
    pub rebinds: f64,
    pub path_errors: f64,
    pub ring_full: f64,
    pub doorbells: f64,
    /// Calls across the boundary that fetch events.
    pub polls: f64,
    /// Gauge: datagrams that may go into one send call.
    pub segments: f64,
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

impl From<SessionStats> for NativeSessionStats {
    fn from(stats: SessionStats) -> Self {
        Self {
            packets_sent: stats.packets_sent as f64,
            packets_received: stats.packets_received as f64,
            packets_lost: stats.packets_lost as f64,
            packets_duplicate: stats.packets_duplicate as f64,
            bytes_sent: stats.bytes_sent as f64,
            bytes_received: stats.bytes_received as f64,
            smoothed_rtt: ms(stats.rtt),
            rtt_variation: ms(stats.rtt_var),
            min_rtt: ms(stats.rtt_min),
            congestion_window: stats.congestion_window as f64,
            bytes_in_flight: stats.bytes_in_flight as f64,
            path_bytes_acked: stats.path_bytes_acked as f64,
            path_bytes_received: stats.path_bytes_received as f64,
            congestion_events: stats.congestion_events as f64,
            probe_timeouts: stats.probe_timeouts as f64,
            key_updates: stats.key_updates as f64,
            mtu: stats.mtu as f64,
            send_errors: stats.send_errors as f64,
            invalid_frames: stats.frame_errors.invalid as f64,
            encryption_errors: stats.frame_errors.encryption as f64,
            checksum_errors: stats.frame_errors.checksum as f64,
            unknown_frames: stats.frame_errors.unknown as f64,
            messages_sent: stats.messages.sent as f64,
            messages_lost: stats.messages.lost as f64,
            messages_received: stats.messages.received as f64,
            messages_dropped_sending: stats.messages.dropped_sending as f64,
            messages_dropped_receiving: stats.messages.dropped_receiving as f64,
            bytes_given_up: stats.bytes_given_up as f64,
            bytes_skipped: stats.bytes_skipped as f64,
        }
    }
}

impl From<EngineStats> for NativeEndpointStats {
    fn from(stats: EngineStats) -> Self {
        let core = stats.endpoint;
        Self {
            datagrams_received: core.datagrams_received as f64,
            datagrams_sent: core.datagrams_sent as f64,
            bytes_received: core.bytes_received as f64,
            bytes_sent: core.bytes_sent as f64,
            sessions: core.sessions as f64,
            half_open: core.half_open as f64,
            hello_unknown_seed: core.hello_unknown_seed as f64,
            hello_expired: core.hello_expired as f64,
            hello_replayed: core.hello_replayed as f64,
            hello_shed: core.hello_shed as f64,
            proof_failed: core.proof_failed as f64,
            sessions_resumed: core.sessions_resumed as f64,
            tickets_refused: core.tickets_refused as f64,
            retries_sent: core.retries_sent as f64,
            decoys_sent: core.decoys_sent as f64,
            resets_sent: core.resets_sent as f64,
            unknown_path: core.unknown_path as f64,
            memory_used: core.memory_used as f64,
            memory_limit: match core.memory_limit {
                u64::MAX => f64::INFINITY,
                limit => limit as f64,
            },
            memory_refused: core.memory_refused as f64,
            rtt_samples: core.rtt_samples as f64,
            rtt_p50: ms(core.rtt_p50),
            rtt_p99: ms(core.rtt_p99),
            invalid_frames: core.frame_errors.invalid as f64,
            encryption_errors: core.frame_errors.encryption as f64,
            checksum_errors: core.frame_errors.checksum as f64,
            unknown_frames: core.frame_errors.unknown as f64,
            engine_turns: stats.turns as f64,
            short_turns: stats.short_turns as f64,
            loop_turns: stats.loop_turns as f64,
            connection_turns: stats.connection_turns as f64,
            loop_alone: stats.loop_alone as f64,
            loop_relieved: stats.loop_relieved as f64,
            engine_sleeps: stats.sleeps as f64,
            receive_calls: stats.receive_calls as f64,
            send_calls: stats.send_calls as f64,
            send_errors: stats.send_errors as f64,
            send_blocked: stats.send_blocked as f64,
            rebinds: stats.rebinds as f64,
            path_errors: stats.path_errors as f64,
            ring_full: stats.ring_full as f64,
            doorbells: stats.doorbells as f64,
            polls: stats.polls as f64,
            segments: stats.segments as f64,
        }
    }
}
