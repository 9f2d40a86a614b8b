import json
import shutil
from pathlib import Path

import pytest

from tests.tiny_chatglm import make_ranks, make_sentencepiece
from tunesmith.chatglm.original import original_tokenizer
from tunesmith.chatglm.sentencepiece_model import read_model
from tunesmith.chatglm.tokenizer import TEMPLATES, build
from tunesmith.errors import InvalidInput
from tunesmith.prompt.formats import FORMATS

VECTORS = Path("/work/shared/vectors/chatglm/tokenizer.json")
MODEL = Path("/work/shared/data/chatglm/tokenizer.model")
TEXTS = [
    "What is your name?",
    "  two  spaces\n\tand a tab ",
    "你叫什么名字？😀 sophisticated sop",
    "",
    "<|user|> [gMASK] </s> <0x41>",
]


@pytest.mark.parametrize("family", ["chatglm2", "chatglm3"])
def test_ids_are_those_of_the_original_tokenizer(family, tmp_path):
    if not (VECTORS.is_file() and MODEL.is_file()):
        pytest.skip(f"{VECTORS} or {MODEL} is not on this machine")
    shutil.copyfile(MODEL, tmp_path / "tokenizer.model")
    tokenizer = build(tmp_path, family)
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    assert len(vectors["strings"]) == 197
    found = [tokenizer(text, split_special_tokens=True).input_ids for text in vectors["strings"]]
    wrong = [
        (text, ids, expected)
        for text, ids, expected in zip(vectors["strings"], found, vectors[family], strict=True)
        if ids != expected
    ]
    assert wrong == []
    specials = ["[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"]
    assert tokenizer.convert_tokens_to_ids(specials) == [64789, 64790, 64791, 64792, 64793]
    if family == "chatglm3":
        roles = ["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]
        assert tokenizer.convert_tokens_to_ids(roles) == [64794, 64795, 64796, 64797]
        decoded = [tokenizer.decode(ids, skip_special_tokens=True) for ids in vectors[family]]
        assert decoded == vectors["chatglm3_decoded"]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (2, 0)


def test_a_model_trained_here_gives_sentencepiece_s_own_ids(tmp_path):
    import sentencepiece

    make_sentencepiece(tmp_path)
    file = tmp_path / "tokenizer.model"
    reference = sentencepiece.SentencePieceProcessor(model_file=str(file))
    tokenizer = build(tmp_path, "chatglm2")
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert ids == reference.encode(text), text
    model = read_model(file.read_bytes())
    assert [piece.text for piece in model.pieces] == [
        reference.id_to_piece(number) for number in range(reference.vocab_size())
    ]


def test_control_tokens_are_cut_out_and_words_like_them_are_not(tmp_path):
    count = make_sentencepiece(tmp_path)
    tokenizer = build(tmp_path, "chatglm3")
    ids = tokenizer("[gMASK]sop<|user|>\n a", add_special_tokens=False).input_ids
    assert ids[:3] == [count + 1, count + 3, count + 6]
    word = tokenizer("sophisticated", add_special_tokens=False).input_ids
    assert count + 3 not in word
    assert tokenizer("a").input_ids[:2] == [count + 1, count + 3]


def test_glm4_s_ranks_become_a_byte_level_tokenizer(tmp_path):
    count = make_ranks(tmp_path)
    tokenizer = build(tmp_path, "glm-4")
    ids = tokenizer("the name 我", add_special_tokens=False).input_ids
    assert ids == [ord("t"), 257, 262, ord(" "), count - 1]
    for text in TEXTS:
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert tokenizer.decode(ids) == text
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "name"}], add_generation_prompt=True, return_dict=False
    )
    assert tokenizer.convert_ids_to_tokens(rendered)[:3] == ["[gMASK]", "<sop>", "<|user|>"]
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (count, count)
    assert tokenizer.convert_tokens_to_ids("<|observation|>") == count + 9


@pytest.mark.parametrize("family", ["chatglm2", "chatglm3", "glm-4"])
def test_templates_say_the_same_as_the_prompt_formats(family):
    assert TEMPLATES[family] == FORMATS[family].template.replace("OPEN", "")


@pytest.mark.parametrize("family", ["chatglm3", "glm-4"])
@pytest.mark.parametrize("content", [b"", b"\xff" * 50, b"not base64!\n", b"YQ== 5\n"])
def test_another_file_of_that_name_is_refused(family, content, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        build(tmp_path, family)
    assert refused.value.problems[0].code == "field.chatglm_tokenizer"


def test_a_cut_off_or_another_kind_of_sentencepiece_model_is_refused(tmp_path):
    import sentencepiece

    make_sentencepiece(tmp_path)
    file = tmp_path / "tokenizer.model"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InvalidInput):
        build(tmp_path, "chatglm2")
    with file.open("wb") as out:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 4),
            model_writer=out,
            model_type="unigram",
            vocab_size=60,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    with pytest.raises(InvalidInput) as refused:
        build(tmp_path, "chatglm2")
    assert "model_type" in str(refused.value)


def test_only_original_directories_have_a_tokenizer_here(tmp_path):
    make_sentencepiece(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert original_tokenizer(tmp_path) is None
    (tmp_path / "config.json").write_text('{"model_type": "chatglm", "padded_vocab_size": 65024}')
    assert "<|user|>" in original_tokenizer(tmp_path).get_vocab()
    (tmp_path / "tokenizer.model").write_bytes(b"")
    with pytest.raises(InvalidInput) as refused:
        original_tokenizer(tmp_path)
    assert refused.value.problems[0].field == "baseModel"
