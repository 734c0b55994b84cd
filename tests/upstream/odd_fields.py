"""Fields of messages as no module should write them."""

from hypothesis import strategies as st

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "event", "seq", "annotation", "error_code", "classifier_output", "intent_predictions", "clarification",
        "output_phrase", "output_mode", "label_status", "label_correction", "intent_label", "final_label", "transcript",
        "final_decision", "session_notes", "context", "environment_label", "memory", "aligned_messages", "trigger",
        "training_config", "source", "role", "content", "text", "partner_speech", "modality", "performer_id",
    ]
)  # fmt: skip

ODD_FIELDS = st.dictionaries(NAMES, JSON, max_size=5)
