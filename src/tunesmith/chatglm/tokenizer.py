"""tokenizer.model of ChatGLM2, ChatGLM3 (SentencePiece) and GLM-4 (tiktoken) as a fast tokenizer.

The same ids as the original code gives, special tokens and chat template included.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

from tunesmith.chatglm.config import ChatGLMFamily
from tunesmith.chatglm.refusal import refused
from tunesmith.chatglm.sentencepiece_model import BPE, NORMAL, SentencePieceModel, read_model

FILE = "tokenizer.model"
FAST_FILE = "tokenizer.json"
"""What some directories have instead: a fast tokenizer that somebody made of it."""
LARGEST_FILE = 64 << 20  # bytes

ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
CONTROLS: dict[ChatGLMFamily, tuple[str, ...]] = {
    "chatglm2": ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
    "chatglm3": ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop", *ROLES),
    "glm-4": (
        *("<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", *ROLES),
        *("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>"),
    ),
}
"""Special tokens, with the ids that follow the last one of tokenizer.model."""

STOPS: dict[ChatGLMFamily, tuple[str, ...]] = {
    "chatglm2": ("</s>",),
    "chatglm3": ("</s>", "<|user|>", "<|observation|>"),
    "glm-4": ("<|endoftext|>", "<|user|>", "<|observation|>"),
}
"""Tokens at which the original chat code ends an answer."""

_ROLE_TURNS = (
    "{%- for message in messages %}\n"
    "{{- '<|' + message['role'] + '|>\\nSPACE' + message['content'] }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{%- endif %}\n"
)
TEMPLATES: dict[ChatGLMFamily, str] = {
    "chatglm2": (
        "{%- set system = messages[0]['content'] if messages[0]['role'] == 'system' else none %}\n"
        "{{- '[gMASK]sop' }}\n"
        "{%- set count = namespace(round=0) %}\n"
        "{%- for message in messages if message['role'] != 'system' %}\n"
        "{%- if message['role'] == 'user' %}\n"
        "{%- set count.round = count.round + 1 %}\n"
        "{%- set text = system + '\\n\\n' + message['content']"
        " if loop.first and system is not none else message['content'] %}\n"
        "{{- ('\\n\\n' if count.round > 1 else '') + '[Round ' + count.round | string"
        " + ']\\n\\n问：' + text + '\\n\\n答：' }}\n"
        "{%- else %}\n"
        "{{- ' ' + message['content'] + '</s>' }}\n"
        "{%- endif %}\n"
        "{%- endfor %}\n"
    ),
    "chatglm3": "{{- '[gMASK]sop' }}\n" + _ROLE_TURNS.replace("SPACE", " "),
    "glm-4": "{{- '[gMASK]<sop>' }}\n" + _ROLE_TURNS.replace("SPACE", ""),
}
"""Chat templates in Jinja, for other programs: training has the families' exact formats."""

_UNKNOWN = "<unk>"
_WORDS = ("sop", "eop")  # control tokens only as whole words: "sophisticated" must not be cut

# How GLM-4 cuts text before merging.
_GLM4_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def build(directory: Path, family: ChatGLMFamily) -> Any:
    """Return the fast tokenizer of an original directory, None if it has none.

    Made of tokenizer.model, or of tokenizer.json where there is only that. Raises InvalidInput
    `chatglm_tokenizer`.
    """
    file = next((directory / n for n in (FILE, FAST_FILE) if (directory / n).is_file()), None)
    if file is None:
        return None
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE >> 20} MiB")
        data = file.read_bytes()
        if file.name == FAST_FILE:
            return _ready_made(data, family)
        if family == "glm-4":
            return _glm4(_ranks(data))
        return _chatglm(read_model(data), family)
    except (OSError, ValueError) as error:
        raise refused("chatglm_tokenizer", path=str(file), reason=str(error)) from error


def _ready_made(data: bytes, family: ChatGLMFamily) -> Any:
    from tokenizers import AddedToken, Tokenizer

    try:
        backend = Tokenizer.from_str(data.decode())
    except Exception as error:  # of the Rust library, which has no class of its own for it
        raise ValueError(f"it is no tokenizer.json: {error}") from error
    ends = {"</s>", _UNKNOWN} if family != "glm-4" else {"<|endoftext|>"}
    for token in (*CONTROLS[family], *sorted(ends)):
        if backend.token_to_id(token) is None:
            raise ValueError(f"it has no token {token}, as {family} has")
    backend.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True, single_word=token in _WORDS)
            for token in CONTROLS[family]
        ]
    )
    return _fast_of(backend, family)


def _chatglm(model: SentencePieceModel, family: ChatGLMFamily) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    _require_known_kind(model)
    ids = {piece.text: number for number, piece in enumerate(model.pieces)}
    if any(token not in ids for token in (_UNKNOWN, "</s>")):
        raise ValueError("it has no <unk> or no </s>")
    controls = CONTROLS[family]
    ids |= {token: len(model.pieces) + number for number, token in enumerate(controls)}
    backend = Tokenizer(
        models.BPE(ids, _piece_merges(model), unk_token=_UNKNOWN, fuse_unk=True, byte_fallback=True)
    )
    # Not Metaspace: the text after each special token begins with a prefix of its own.
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    backend.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True, single_word=token in _WORDS)
            for token in controls
        ]
    )
    return _fast_of(backend, family)


def _require_known_kind(model: SentencePieceModel) -> None:
    wanted = {"model_type": BPE, "byte_fallback": True, "normalizer": "identity"}
    wanted |= {"add_dummy_prefix": True, "remove_extra_whitespaces": False}
    for name, value in wanted.items():
        if (found := getattr(model, name)) != value:
            raise ValueError(f"{name} is {found}, not {value} as in ChatGLM2 and ChatGLM3")


def _piece_merges(model: SentencePieceModel) -> list[tuple[str, str]]:
    """Only normal pieces are merged, and into normal ones: never into <0x41> or </s>."""
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind == NORMAL}
    merges = [
        (-score, at, len(text) - at, text[:at], text[at:])
        for text, score in scores.items()
        for at in range(1, len(text))
        if text[:at] in scores and text[at:] in scores
    ]
    merges.sort(key=lambda merge: merge[:3])
    return [(left, right) for *_, left, right in merges]


def _ranks(data: bytes) -> dict[bytes, int]:
    """Return the ranks of a tiktoken file: a token in base64 and its rank a line."""
    ranks = {}
    for line in data.splitlines():
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise ValueError("it is no list of tiktoken ranks, as GLM-4 has") from None
    if sorted(ranks.values()) != list(range(len(ranks))) or len(ranks) < 256:
        raise ValueError("its ranks are not the numbers from 0 on")
    return ranks


def _glm4(ranks: dict[bytes, int]) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    letters = _byte_letters()

    def spelt(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        (rank, ranks[token[:at]], ranks[token[at:]], spelt(token[:at]), spelt(token[at:]))
        for token, rank in ranks.items()
        for at in range(1, len(token))
        if token[:at] in ranks and token[at:] in ranks
    ]
    merges.sort(key=lambda merge: merge[:3])
    backend = Tokenizer(
        models.BPE(
            {spelt(token): rank for token, rank in ranks.items()},
            [(left, right) for *_, left, right in merges],
            fuse_unk=False,
            ignore_merges=True,
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_GLM4_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in CONTROLS["glm-4"]]
    )
    return _fast_of(backend, "glm-4")


def _byte_letters() -> list[str]:
    """Return the letter that stands for each byte in a byte-level BPE (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + number) for number, byte in enumerate(others)}
    return [letters[byte] for byte in range(256)]


def _fast_of(backend: Any, family: ChatGLMFamily) -> Any:
    """Return transformers' tokenizer around `backend`, which knows the family's tokens."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    if family == "glm-4":
        end, pad, begin, unknown = "<|endoftext|>", "<|endoftext|>", "<sop>", None
    else:
        end, pad, begin, unknown = "</s>", _UNKNOWN, "sop", _UNKNOWN
    specials = [(token, backend.token_to_id(token)) for token in ("[gMASK]", begin)]
    backend.post_processor = processors.TemplateProcessing(
        single=f"[gMASK] {begin} $A", pair=f"[gMASK] {begin} $A $B", special_tokens=specials
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=end,
        pad_token=pad,
        unk_token=unknown,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
        additional_special_tokens=[token for token in CONTROLS[family] if token != end],
    )
    tokenizer.chat_template = TEMPLATES[family]
    return tokenizer
