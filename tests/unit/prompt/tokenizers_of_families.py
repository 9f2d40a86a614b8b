"""Small tokenizers with the control tokens, and the habits with blanks, of the known families."""

from typing import Any, Literal

WORDS = "system user assistant Be brief What is your name My That INST SYS Round You are a helpful"
TEXT = [WORDS, "[INST] <<SYS>>\n [/INST]", "[Round 1]\n\n问：你叫什么名字？\n\n答：我叫小匠。"]


def byte_level(*controls: str, eos: str) -> Any:
    """As LLaMA 3, Qwen and GLM-4 have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(controls),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(TEXT, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token=eos, additional_special_tokens=list(controls)
    )


def sentence_piece(*controls: str, blank: Literal["legacy", "first"] = "legacy") -> Any:
    """As LLaMA 2 and ChatGLM2/3 have: pieces with ▁ for a blank, bytes for the rest.

    `legacy` begins each text after a control token with a blank, `first` only the first one.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    merges: list[tuple[str, str]] = []
    characters = sorted({"▁", *"".join([*TEXT, "2?.<>/|'"]).replace(" ", "").replace("\n", "")})
    pieces += characters
    for word in WORDS.split():
        whole = "▁"
        for character in word:
            merge = whole, character
            whole += character
            if whole not in pieces:
                pieces.append(whole)
                merges.append(merge)
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    if blank == "legacy":
        backend.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=list(controls),
    )


LLAMA3 = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
GLM4 = ("<|endoftext|>", "[gMASK]", "<sop>", *ROLES)
