"""What was fitted on labelled utterances, the same for every tenant: the models of frames and the weights of features.

`python -m tests.routing fit` writes the files. Cross-validation passes others, that know nothing of what they are measured on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from graphs.routing.frames import FILE, WORD_VECTOR_FILE, FrameModel, frame_model
from graphs.routing.weights import GLANCE_WEIGHTS, LEXICAL_WEIGHTS, SEMANTIC_WEIGHTS


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model of frames and weights for vectors of whole texts, the same for vectors of words (`glance`), and the weights by
    words alone."""

    frames: FrameModel
    glance_frames: FrameModel
    lexical: Sequence[float] = LEXICAL_WEIGHTS
    glance: Sequence[float] = GLANCE_WEIGHTS
    semantic: Sequence[float] = SEMANTIC_WEIGHTS


@cache
def fitted() -> Fitted:
    """Return what the code comes with."""
    return Fitted(frame_model(FILE), frame_model(WORD_VECTOR_FILE))
