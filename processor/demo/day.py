"""A lifelike day: what the modules around eight users send, and what goes wrong on the way.

The users are invented. Every kind of module that speaks on A3CP's bus has its say, with the fields that it is known by.
All of it is yesterday (UTC), but for one user who is in the middle of a session now.
"""

import json
from typing import Any, Final

from processor.codec.isotime import format_time
from processor.codec.schema import Schemas
from processor.core.ids import session_id
from processor.core.model import DAY_MS, HOUR_MS, IdFormat
from processor.demo.script import MINUTE_MS, SECOND_MS, Script, Sent
from processor.runtime.partitioner import partition_of

FRAME_MS: Final = 150
FRAMES: Final = 14
UNKNOWN_FINGERPRINT: Final = bytes.fromhex("c3010badcafe0badcafe")
PIXEL: Final = "data:image/png;base64,iVBORw0KGgo="


def lifelike_day(now_ms: int, schemas: Schemas, partitions: int, id_format: IdFormat) -> list[Sent]:
    """Return the records of the day in the order in which they are sent.

    Args:
        now_ms: the wall clock.
        schemas: the shipped schemas; one user's modules write Avro.
        partitions: of the raw topic; one user's modules choose the wrong one.
        id_format: how session ids look: modules that were told one send it along.
    """
    midnight_ms = now_ms // DAY_MS * DAY_MS - DAY_MS
    day = _Day(Script(f"{midnight_ms}", schemas), midnight_ms, id_format)
    day.training_at_school()
    day.talking_at_home()
    day.pausing_at_the_day_centre()
    day.own_limits()
    day.at_the_therapist()
    day.other_partitioner(partitions)
    day.what_cannot_be_tagged()
    day.in_a_session_now(now_ms)
    return sorted(day.script.records, key=lambda record: record.sent_ms)


class _Day:
    def __init__(self, script: Script, midnight_ms: int, id_format: IdFormat) -> None:
        self.script = script
        self._midnight_ms = midnight_ms
        self._id_format = id_format

    def training_at_school(self) -> None:
        """A session that a carer starts and ends, with a capture that is only processed after the end."""
        user, carer, script = "heron-07", "carer-02", self.script
        self._night_shift(user)
        nine = self._at("09:00")
        started_by = script.command(
            user, nine, "start", carer, is_training_data=True, training_intent_label="drink",
            session_notes="Snack time: practising the sign for drink.",
        )  # fmt: skip
        sid = session_id(user, nine, started_by, self._id_format)

        features = self._capture(user, nine + MINUTE_MS, "drink", carer, sid)
        at_ms = nine + MINUTE_MS + 5 * SECOND_MS
        self._classified(user, at_ms, features, {"drink": 0.81, "more": 0.12, "unknown": 0.07}, sid)
        self._evaluated(user, at_ms + 300, "drink", sid)
        self._spoken(user, at_ms + 600, "drink", "I would like a drink.", sid)
        self._feedback(user, at_ms + 9_000, "drink", "confirmed", None, sid)
        self._training_example(user, at_ms + 12_000, features, "drink", "drink", sid)

        script.command(user, nine + 12 * MINUTE_MS, "note", carer, note="Tired, but signs clearly.")

        features = self._capture(user, nine + 15 * MINUTE_MS, "drink", carer, sid)
        at_ms = nine + 15 * MINUTE_MS + 5 * SECOND_MS
        self._classified(user, at_ms, features, {"more": 0.44, "drink": 0.41, "unknown": 0.15}, sid)
        self._clarified(user, at_ms + 400, ["more", "drink"], sid)
        self._feedback(user, at_ms + 20_000, "more", "corrected", "drink", sid)
        self._remembered(user, at_ms + 21_000, "drink", sid)
        self._training_example(user, at_ms + 25_000, features, "more", "drink", sid)

        # The extractor needs longer for the last capture than the carer waits before ending the session.
        self._capture(user, nine + 31 * MINUTE_MS, "drink", carer, sid, features_after_ms=90 * SECOND_MS)
        script.command(user, nine + 32 * MINUTE_MS, "end", carer, session_id=sid)
        script.command(user, nine + 40 * MINUTE_MS, "end", carer, session_id=sid)  # Pressed twice: already closed.

        # In the afternoon the page still holds the morning's session id.
        for minute in (0, 4, 9):
            at_ms = self._at("14:05") + minute * MINUTE_MS
            self._partner(user, at_ms, "label_correction", {"label_correction": "help"}, sid)
        self._visualised(user, self._at("14:20"))

    def talking_at_home(self) -> None:
        """Breakfast, lunch and evening: three sessions that nobody starts or ends."""
        user, script = "otter-12", self.script
        for clock, asked, phrase in (
            ("07:10", "Porridge or bread?", "Bread, please."),
            ("12:20", "Shall we go outside after lunch?", "Yes, to the swings."),
            ("18:30", "Music or a story before bed?", "The story with the fox."),
        ):
            at_ms = self._at(clock)
            chunk = {"modality": "audio", "sample_rate": 16_000, "chunk_size": 512, "device_id": "mic-kitchen"}
            script.add(user, at_ms, "audio_feed_worker", {**chunk, "source": "communicator"})
            heard = {"modality": "speech", "source": "caregiver", "language": "en", "segment_id": script.new_id()[:8]}
            half = asked[: len(asked) // 2]
            script.add(
                user, at_ms + 800, "speech_transcriber", {**heard, "transcript": half, "is_partial": True}
            )  # It may pass by, but is kept nowhere else.
            transcript = script.add(
                user, at_ms + 2_000, "speech_transcriber",
                {**heard, "transcript": asked, "confidence": 0.94, "is_partial": False},
            )  # fmt: skip
            ranking = [{"intent": "yes", "confidence": 0.6}, {"intent": "no", "confidence": 0.4}]
            classified = {"intent": "yes", "confidence": 0.6, "ranking": ranking, "language_used": "en"}
            script.add(
                user, at_ms + 2_400, "speech_context_classifier",
                {"record_id": transcript["record_id"], "modality": "speech", "classifier_output": classified},
            )  # fmt: skip  # The id is its input's: record ids are not unique.
            predictions = [{"intent": "yes", "confidence": 0.84}, {"intent": "stop", "confidence": 0.16}]
            script.add(
                user, at_ms + 5_000, "sound_classifier",
                {"modality": "audio", "source": "communicator", "intent_predictions": predictions,
                 "model_version": "sound-3", "inference_time_ms": 142},
            )  # fmt: skip
            place = {"context_location": "kitchen", "confidence_score": 0.9, "device_id": "cam-kitchen"}
            script.add(user, at_ms + 5_200, "visual_environment_classifier", {"modality": "image", **place})
            script.add(user, at_ms + 5_500, "input_broker", self._aligned(user, at_ms))
            script.add(
                user, at_ms + 6_000, "memory_integrator",
                {"final_decision": "yes", "adjusted_output": [{"label": "yes", "adjusted_score": 0.9}],
                 "hint_used": ["recency"]},
            )  # fmt: skip
            self._spoken(user, at_ms + 7_000, "yes", phrase)
            self._partner(user, at_ms + 14 * MINUTE_MS, "note", {"session_notes": "Answered at once."})
        script.add(
            user, self._at("18:55"), "sound_playback",
            {"file_uri": "evening.wav", "consent_given": True, "is_demo": False, "label_status": "confirmed"},
        )  # fmt: skip
        abort = {"modality": "image", "event": "capture.abort", "error_code": "limit_duration_exceeded"}
        script.add(user, self._at("18:58"), "camera_feed_worker", {**abort, "capture_id": script.new_id()})

    def pausing_at_the_day_centre(self) -> None:
        """A session with a pause longer than the gap, in Avro; its messages keep coming."""
        user, carer, script = "wren-03", "carer-11", self.script
        ten = self._at("10:00")
        features = self._capture(user, ten, "walk", carer, avro=True)
        self._classified(user, ten + 6_000, features, {"walk": 0.9, "unknown": 0.1}, avro=True)
        self._spoken(user, ten + 7_000, "walk", "I want to walk.", avro=True)
        script.command(user, self._at("10:30"), "pause", carer)
        for minute in (40, 55, 85):
            level = {"modality": "audio", "sample_rate": 16_000, "chunk_size": 512, "device_id": "mic-hall"}
            script.add(user, ten + minute * MINUTE_MS, "audio_feed_worker", level, avro=True)
        script.command(user, self._at("11:45"), "resume", carer)
        step = {"name": "walk to the garden", "status": "done", "duration_ms": 15 * MINUTE_MS}
        script.command(user, self._at("12:00"), "step", carer, step=step)
        script.command(user, self._at("12:01"), "tag", carer, tags={"add": ["outdoors"]})
        script.command(user, self._at("12:05"), "touch", "system")  # A page with the session is still open somewhere.
        features = self._capture(user, self._at("12:10"), "drink", carer, avro=True)
        self._classified(user, self._at("12:10") + 6_000, features, {"drink": 0.7, "unknown": 0.3}, avro=True)

    def own_limits(self) -> None:
        """A user whose profile asks for a shorter gap, shorter sessions and a shorter pause."""
        user, script = "lynx-21", self.script
        limits = {"gap_ms": 20 * MINUTE_MS, "max_session_ms": 2 * HOUR_MS, "pause_ms": 30 * MINUTE_MS}
        script.add(
            user, self._at("08:00"), "user_profile_store",
            {"preferences": {"tone": "calm"}, "vocabulary": ["yes", "no", "stop"], "session_policy": limits},
        )  # fmt: skip
        for clock in ("08:30", "08:40", "09:05", "09:10"):  # 25 minutes of silence in between.
            self._spoken(user, self._at(clock), "yes", "Yes.")
        for minutes in range(0, 150, 10):  # An afternoon with films, longer than two hours.
            self._partner(user, self._at("13:00") + minutes * MINUTE_MS, "note", {"session_notes": "Laughs."})
        self._spoken(user, self._at("16:00"), "stop", "Stop, please.")
        script.command(user, self._at("16:05"), "pause", "carer-05")  # Nobody resumes.
        self._spoken(user, self._at("17:00"), "no", "No.")

    def at_the_therapist(self) -> None:
        """Sessions by command, one that replaces another, a foreign session, and a tablet that was offline for days."""
        user, therapist, script = "finch-09", "therapist-01", self.script
        eleven = self._at("11:00")
        script.command(user, eleven, "start", therapist, session_notes="First part.")
        script.command(user, eleven + MINUTE_MS, "context", therapist, context={"location": "practice", "room": 2})
        features = self._capture(user, eleven + 5 * MINUTE_MS, "ball", therapist)
        self._classified(user, eleven + 5 * MINUTE_MS + 6_000, features, {"ball": 0.55, "unknown": 0.45})
        script.command(user, eleven + 30 * MINUTE_MS, "start", therapist, force_new=True, session_notes="Second part.")
        script.command(user, eleven + 31 * MINUTE_MS, "status", therapist, status="concentrating")
        features = self._capture(user, eleven + 35 * MINUTE_MS, "book", therapist)
        self._classified(user, eleven + 35 * MINUTE_MS + 6_000, features, {"book": 0.88, "unknown": 0.12})
        foreign = session_id("heron-07", eleven, script.new_id(), IdFormat.DATED)
        script.command(user, eleven + 50 * MINUTE_MS, "end", therapist, session_id=foreign)
        script.command(user, eleven + 55 * MINUTE_MS, "end", therapist)
        three_days_before = eleven - 3 * DAY_MS
        for seconds in (0, 40):
            self._feedback(
                user, three_days_before + seconds * SECOND_MS, "ball", "confirmed", None,
                after_ms=3 * DAY_MS + 70 * MINUTE_MS,
            )  # fmt: skip

    def other_partitioner(self, partitions: int) -> None:
        """A user whose modules use a client with another partitioner: every record lands in a wrong partition."""
        user = "plover-18"
        wrong = (partition_of(user.encode(), partitions) + 1) % partitions
        for minute in range(0, 25, 5):
            output = {"modality": "gesture", "performer_id": "system", "classifier_output": {"play": 1.0, "unknown": 0}}
            self.script.add(
                user, self._at("13:30") + minute * MINUTE_MS, "gesture_classifier", output, partition=wrong
            )  # fmt: skip

    def in_a_session_now(self, now_ms: int) -> None:
        """A user who is active as the demo runs, with a retry and a tablet whose clock is three hours ahead."""
        user, carer, script = "robin-15", "carer-02", self.script
        began_ms = now_ms - 25 * MINUTE_MS
        features = self._capture(user, began_ms, "music", carer)
        self._classified(user, began_ms + 6_000, features, {"music": 0.77, "unknown": 0.23})
        script.again(700)
        self._partner(user, now_ms - 15 * MINUTE_MS, "note", {"session_notes": "Sings along."})
        self._spoken(user, now_ms - 8 * MINUTE_MS, "music", "Once more!")
        self._feedback(user, now_ms + 3 * HOUR_MS, "music", "confirmed", None, after_ms=-3 * HOUR_MS - 4 * MINUTE_MS)

    def what_cannot_be_tagged(self) -> None:
        """Records without a user or a time, and bytes that are no record at all."""
        script = self.script
        noon = self._at("12:00")
        nobody = {"record_id": None, "schema_version": None, "source": None}
        for module, fields in (
            ("clarification_planner", {"clarification": {"needed": True, "candidates": ["eat", "play"]}}),
            ("llm_clarifier", {"output_phrase": "Did you mean eat or play?", "output_mode": "multiple_choice"}),
            ("memory_interface", {"memory": {"intent_boosts": {"eat": 0.1}, "hint_used": True}}),
            ("visual_environment_classifier", {"session_id": "sess_unknown", "environment_label": "garden"}),
            ("audio_feed_worker", {"device_index": 0, "sample_rate": 16_000, "chunk_size": 512}),
        ):
            script.add(None, noon, module, {**nobody, **fields})
        script.add("otter-12", noon, "landmark_visualizer", {**nobody, "timestamp": None, "render_mode": "overlay"})
        script.add("otter-12", noon, "feedback_log", {"timestamp": "yesterday, about noon", "user_response": "yes"})
        script.add(None, noon, "camera_feed_worker", {"event": "capture.frame", "frame_data": PIXEL})
        script.add("  ", noon, "speech_transcriber", {"transcript": "Do you want", "is_partial": True})
        whole = json.dumps({"user_id": "wren-03", "timestamp": "2025-06-15T12:34:56.789Z", "source": "ui"}).encode()
        script.raw(noon, "ui", whole[:60], "wren-03")
        script.raw(noon, "gesture_classifier", UNKNOWN_FINGERPRINT + b"\x00\x02\x04", "wren-03")
        script.raw(noon, "landmark_extractor", b"", "wren-03")
        fields = {"command": "stop", "performer_id": "carer-05"}
        script.add("lynx-21", noon, "ui", fields)  # There is no such command.

    def _at(self, clock: str) -> int:
        hour, minute = clock.split(":")
        return self._midnight_ms + int(hour) * HOUR_MS + int(minute) * MINUTE_MS

    def _night_shift(self, user: str) -> None:
        """Retraining at night: about a user, but nothing the user does, so it opens no session."""
        at_ms = self._at("02:30")
        model = {"modality": "gesture", "model_version": "gesture-14", "model_artifact_path": "models/gesture-14"}
        self.script.add(user, at_ms, "retraining_scheduler", {"trigger": "sample_count", "status": "started"})
        metrics = {"accuracy": 0.91, "f1_macro": 0.89}
        self.script.add(
            user, at_ms + 20 * MINUTE_MS, "model_trainer",
            {**model, "status": "success", "training_config": {"epochs": 10}, "training_metrics": metrics},
        )  # fmt: skip
        self.script.add(user, at_ms + 21 * MINUTE_MS, "model_registry", {**model, "config": {"epochs": 10}})

    def _capture(
        self, user: str, at_ms: int, intent: str, performer: str, sid: str | None = None, *, avro: bool = False,
        features_after_ms: int = 1_200,
    ) -> dict[str, Any]:  # fmt: skip
        """One gesture in front of the camera: open, frames, close, features. Returns the features' message."""
        script = self.script
        capture_id = script.new_id()
        page = {"modality": "image", "capture_id": capture_id, "session_id": sid, "performer_id": performer}
        size = {"width": 640, "height": 480, "fps_target": 15, "encoding": "jpeg"}
        opened = {**page, "event": "capture.open", "annotation": {"intent": intent}, **size}
        script.add(user, at_ms, "ui", opened, avro=avro)
        for number in range(FRAMES):
            frame = {**page, "event": "capture.frame_meta", "seq": number, "byte_length": 21_000 + 37 * number}
            script.add(user, at_ms + (number + 1) * FRAME_MS, "ui", frame, avro=avro)
        end_ms = at_ms + (FRAMES + 1) * FRAME_MS
        script.add(user, end_ms, "ui", {**page, "event": "capture.close"}, avro=avro)
        reference = {
            "uri": f"features/{capture_id}.npz", "hash": f"sha256:{capture_id.replace('-', '') * 2}",
            "encoding": "holistic_v1", "shape": [FRAMES, 128], "dtype": "float32", "format": "npz",
        }  # fmt: skip
        return script.add(
            user, end_ms, "landmark_extractor",
            {**page, "modality": "gesture", "event": "raw_features.ready", "performer_id": "system",
             "raw_features_ref": reference},
            after_ms=features_after_ms, avro=avro,
        )  # fmt: skip

    def _classified(
        self, user: str, at_ms: int, features: dict[str, Any], output: dict[str, float], sid: str | None = None, *,
        avro: bool = False,
    ) -> None:  # fmt: skip
        copied = {key: features[key] for key in ("record_id", "capture_id")}  # Classifiers copy the id of their input.
        model = {"model_version": "gesture-14", "model_ref": {"type": "model", "version": "14"}}
        encoder = {"encoder_ref": {"type": "encoder", "version": "3"}}
        fields = {**copied, "modality": "gesture", "session_id": sid, "performer_id": "system", **model, **encoder}
        self.script.add(user, at_ms, "gesture_classifier", {**fields, "classifier_output": output}, avro=avro)

    def _evaluated(self, user: str, at_ms: int, decision: str, sid: str | None = None) -> None:
        scores = [{"intent": decision, "base_confidence": 0.81, "memory_boost": 0.05, "final_score": 0.86}]
        fields = {"classifier_output": scores, "final_decision": decision, "session_id": sid}
        self.script.add(user, at_ms, "confidence_evaluator", {**fields, "context_flags": {"high_confidence": True}})

    def _clarified(self, user: str, at_ms: int, candidates: list[str], sid: str | None = None) -> None:
        doubt = {"needed": True, "reason": "scores too close", "candidates": candidates, "threshold_used": 0.05}
        self.script.add(user, at_ms, "clarification_planner", {"clarification": doubt, "session_id": sid})
        phrase = f"Did you mean {' or '.join(candidates)}?"
        asked = {"output_phrase": phrase, "output_mode": "multiple_choice", "output_type": "clarification"}
        self.script.add(user, at_ms + 900, "llm_clarifier", {**asked, "session_id": sid})

    def _spoken(
        self, user: str, at_ms: int, decision: str, phrase: str, sid: str | None = None, *, avro: bool = False
    ) -> None:
        said = {"final_decision": decision, "output_type": "intent", "output_phrase": phrase, "session_id": sid}
        profile = {"user_profile": {"mode_preference": "speech", "verbosity": "short"}}
        self.script.add(user, at_ms, "output_expander", {**said, **profile}, avro=avro)
        self.script.add(user, at_ms + 150, "output_planner", {**said, "output_mode": "speech"}, avro=avro)

    def _feedback(  # noqa: PLR0917  # What was asked, answered and meant, in this order.
        self, user: str, at_ms: int, intent: str, status: str, correction: str | None,
        sid: str | None = None, *, after_ms: int = 0,
    ) -> None:  # fmt: skip
        entry = {"entry_id": self.script.new_id(), "intent_label": intent, "label_status": status}
        asked = {"prompt_text": f"Did you mean {intent}?", "label_correction": correction, "session_id": sid}
        self.script.add(user, at_ms, "feedback_log", {**entry, **asked, "record_id": None}, after_ms=after_ms)

    def _remembered(self, user: str, at_ms: int, intent: str, sid: str | None = None) -> None:
        memory = {"intent_boosts": {intent: 0.12}, "hint_used": True}
        self.script.add(user, at_ms, "memory_interface", {"memory": memory, "intent_label": intent, "session_id": sid})

    def _training_example(  # noqa: PLR0917  # As above.
        self, user: str, at_ms: int, features: dict[str, Any], predicted: str, final: str, sid: str | None = None
    ) -> None:
        labels = {"predicted_label": predicted, "final_label": final}
        action = {"partner_action": "accept" if predicted == final else "correct", "consent_given": True}
        copied = {"record_id": features["record_id"], "capture_id": features["capture_id"], "is_demo": False}
        self.script.add(user, at_ms, "recorded_schemas", {**copied, **labels, **action, "session_id": sid})

    def _partner(self, user: str, at_ms: int, event: str, fields: dict[str, Any], sid: str | None = None) -> None:
        spoken_for = {"modality": "multimodal", "performer_id": "carer-05", "event": event, "session_id": sid}
        self.script.add(user, at_ms, "partner_ui", {**spoken_for, **fields})

    def _visualised(self, user: str, at_ms: int) -> None:
        picture = {"modality": "vision", "artifact_path": "visuals/walk.gif", "success": True}  # No known modality.
        self.script.add(user, at_ms, "landmark_visualizer", picture)

    def _aligned(self, user: str, at_ms: int) -> dict[str, Any]:
        own = {"user_id": user, "timestamp": format_time(at_ms)}
        parts = [{**own, "modality": modality} for modality in ("gesture", "audio")]
        return {"modality": "multimodal", "stream_segment_id": "seg-1", "aligned_messages": parts}
