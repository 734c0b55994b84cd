"""What must not be kept, in the spellings that modules and recognisers have; and what looks like it and is kept."""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

SECRET: Final = "SECRETSECRETSECRETSECRETSECRET"  # stands in all that must not be kept
PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + SECRET.encode()
_CODE: Final = base64.b64encode(bytes(range(256)) * 2).decode()  # 684 characters of base64
_STARTS: Final = (b"\xff\xd8\xff\xe0", b"RIFF\4\0\0\0WAVE", b"GIF89a", b"OggS", b"fLaC", b"\x1aE\xdf\xa3")  # of a file
_CODES: Final[dict[str, Callable[[bytes], str]]] = {
    "base64": lambda content: base64.b64encode(content).decode(),
    "hex": bytes.hex,
    "HEX": lambda content: content.hex().upper(),
}

MEDIA: Final[dict[str, dict[str, Any]]] = {
    "a data URI": {"x": f"data:image/png;base64,{SECRET}"},
    "in other letters": {"x": f"DATA:Image/PNG;Base64,{SECRET}"},
    "with white space": {"x": f" data : image/png ; base64 , {SECRET}"},
    "without a type": {"x": f"data:;base64,{SECRET}"},
    "of any type": {"x": f"data:application/octet-stream;base64,{SECRET}"},
    "of bytes that are no base64": {"x": f"data:application/octet-stream,{SECRET}"},
    "of text, coded": {"x": f"data:text/plain;charset=utf-8;base64,{SECRET}"},
    "of a film": {"x": f"data:video/mp4,{SECRET}"},
    "URL-encoded": {"x": f"data%3Aimage%2Fpng%3Bbase64%2C{SECRET}"},
    "URL-encoded twice": {"x": f"data%253Aimage%252Fpng%253Bbase64%252C{SECRET}"},
    "in a text": {"x": f'<img src="data:image/jpeg;base64,{SECRET}">'},
    "as a name": {"x": {f"data:image/png;base64,{SECRET}": 1}},
    "JSON in a text": {"x": json.dumps({"a": [{"frame_data": SECRET}]})},
    "JSON in JSON in a text": {"x": json.dumps({"a": json.dumps({"audioBytes": SECRET})})},
    "JSON as a text in a text": {"x": json.dumps(json.dumps({"audioBytes": SECRET}))},
    "JSON in a text, blanks before": {"x": "\n " + json.dumps({"frame_data": SECRET})},
    "what Python prints in a text": {"x": str({"frame_data": SECRET})},
    "JSON in a text, cut off": {"x": json.dumps({"a": {"audioBytes": SECRET}})[:-1]},
    "escapes in JSON in a text": {"x": '{"a": "\\u0064ata:image\\/png;base64,' + SECRET + '"}'},
    **{
        f"the field {name}": {name: SECRET}
        for name in (
            "frame_data", "audio_payload", "frameData", "FrameData", "FRAME_DATA", "frame-data", "frame.data",
            "framedata", "frame data", "audioPayload", "image_b64", "imageBase64", "image_base64", "base64Image",
            "audioBytes", "audio_bytes", "video_data", "rawAudio", "raw_frame", "cameraFrameData",
            "camera_frame_data", "pcmData", "wav_b64", "photo_bytes", "screenshotBase64", "audio_chunk_b64",
            "mp3Data", "imageDataUrl", "waveform", "images_data",
        )
    },
    "a field deep inside": {"x": [{"y": [{"frame_data": SECRET}]}]},
    "a thing and its form apart": {"image": {"format": "png", "data": SECRET}},
    "known fields with any text": {"frame_data": f"{SECRET} and more"},
    "numbers": {"audioBytes": [ord(char) for char in SECRET], "x": SECRET},
    "bytes as Node prints them": {"audio": {"type": "Buffer", "data": [83, 69]}, "x": SECRET},
    "a PNG in base64 in any field": {"x": base64.b64encode(PNG).decode(), "y": SECRET},
    "a JPEG, URL-safe": {"x": "_9j_4AAQSkZJRgABAQAAAQ" + SECRET},
    "a PNG in hex": {"x": PNG.hex(), "y": SECRET},
    **{
        f"{start!r} in {how}": {"x": write(start + bytes(24)), "y": SECRET}
        for start in _STARTS
        for how, write in _CODES.items()
    },
    "code that says so": {"x": "base64:" + base64.b64encode(PNG).decode(), "y": SECRET},
    "an MP3 in base64": {"x": base64.b64encode(b"ID3\4\0" + bytes(24)).decode(), "y": SECRET},
    "an MP4 in base64": {"x": base64.b64encode(b"\0\0\0\x18ftyp" + bytes(24)).decode(), "y": SECRET},
    "a WAV file in base64": {"x": "UklGRiQAAABXQVZFZm10IBAAAAABAAEA" + SECRET},
    "long base64 in any field": {"x": _CODE, "y": SECRET},
    "long base64 within a text": {"x": f"see: {_CODE}!", "y": SECRET},
}  # fmt: skip
PARTIAL: Final[dict[str, dict[str, Any]]] = {
    **{
        f"{json.dumps(marks)}": {"transcript": SECRET, **marks}
        for marks in (
            {"is_partial": True}, {"isPartial": True}, {"IsPartial": True}, {"is-partial": "true"}, {"is_partial": 1},
            {"is_partial": "True"}, {"is_partial": "yes"}, {"partial": True}, {"interim": True}, {"is_interim": True},
            {"is_final": False}, {"isFinal": False}, {"final": False}, {"final": "false"}, {"is_final": 0},
            {"is_final": "0"}, {"status": "interim"}, {"status": "PARTIAL"}, {"result_type": "partial"},
            {"resultType": "Intermediate"}, {"transcript_status": "not final"}, {"message_type": "PartialTranscript"},
            {"type": "transcript.text.delta"}, {"event": "transcript.partial"}, {"kind": "hypothesis"},
            {"state": "non-final"}, {"transcription_type": "interim"}, {"complete": False},
        )
    },
    "where it is nested": {"results": [{"is_final": False, "alternatives": [{"transcript": SECRET}]}]},
    "where the mark is elsewhere": {"meta": {"is_final": False}, "channel": {"alternatives": [{"transcript": SECRET}]}},
    "as the field's own name": {"partial": SECRET},
    "in another name": {"partial_transcript": SECRET},
    "by its module": {"source": "speech_transcriber", "said": SECRET, "is_final": False},
    "by its modality": {"modality": "speech", "said": SECRET, "status": "partial"},
    "JSON in a text": {"x": json.dumps({"is_partial": True, "transcript": SECRET})},
    "what Python prints in a text": {"x": str({"is_partial": True, "transcript": SECRET})},
}  # fmt: skip
KEPT: Final[dict[str, dict[str, Any]]] = {
    "a whole transcript": {"transcript": "Shall we go?", "is_partial": False, "is_final": True, "status": "final"},
    "told in words": {"transcript": "whole", "is_partial": "false", "partial": 0, "interim": None},
    "what is partial and no speech": {"status": "partial", "final": False, "is_final": False, "complete": False},
    "an incomplete training": {"source": "model_trainer", "training_config": {}, "status": "interim", "partial": True},
    "features by reference": {
        "raw_features_ref": {"uri": "/data/u01/x.npz", "hash": f"sha256:{'ab12' * 16}", "shape": [42, 128]},
        "classifier_output": {"drink": 0.7, "unknown": 0.3},
    },
    "landmarks": {"landmarks": [[0.1, 0.2, 0.3]] * 200, "frame_index": 5, "sample_rate": 16000, "chunk_size": 512},
    "facts of media": {"image_size_bytes": 1024, "audio_format": "wav", "frame_id": "f1", "video_uri": "s3://b/x.mp4",
                       "audio_bytes": 1024, "image_data": None, "frame_data": "", "media_type": "image/png"},
    "prose in a field of media": {"camera_data": "the front camera, above the desk"},
    "words about data": {"transcript": "The data: an image of it; see data/images.", "note": "data:text/plain,hello"},
    "a token": {"token": "eyJhbGciOiJIUzI1NiJ9." + "a1B2" * 40 + ".sig"},
    "a long text": {"text": "word " * 500, "rule": "=" * 900, "digits": "1234567890" * 90},
    "text that is no JSON": {"x": "{so: what}", "y": "[a link](x)", "z": '"quoted" words of somebody'},
    "upstream's flags": {"event": "capture.frame_meta", "label_status": "corrected", "context": {"flags": {"final": 1}},
                         "transcript": "and words"},
}  # fmt: skip
