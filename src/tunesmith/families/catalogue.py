"""The base models of the specification and their usual successors, with where to get them.

Memory and Chinese remarks of the twelve are the specification's words. A model that is not here
trains just as well when its architecture does.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

Hub = Literal["huggingface", "modelscope"]


@dataclass(frozen=True)
class Variant:
    """One published set of weights: the base model, or the one tuned to chat."""

    kind: Literal["base", "chat"]
    huggingface: str
    modelscope: str
    gated: bool = False
    """Hugging Face asks for an accepted licence and a token; ModelScope does not."""
    aliases: tuple[str, ...] = ()
    """Earlier ids on Hugging Face, which lead to the same weights."""

    def repo(self, hub: Hub) -> str:
        """Return the id on `hub`."""
        return self.huggingface if hub == "huggingface" else self.modelscope

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id that means these weights."""
        return (self.huggingface, self.modelscope, *self.aliases)


@dataclass(frozen=True)
class CatalogueEntry:
    """A base model as people speak of it."""

    name: str
    series: Literal["LLaMA", "ChatGLM", "Qwen"]
    family: str
    """Name of its `Family`."""
    size: str
    """Parameters in the usual words: "7B"."""
    parameters: int
    memory: str | None
    """Need of GPU memory that the specification states; None for models that it does not name."""
    remark_zh: str
    remark_en: str
    variants: tuple[Variant, ...]
    successors: tuple[str, ...] = ()
    """Names of newer entries that one would rather take today."""

    @property
    def specified(self) -> bool:
        """Whether the specification names it."""
        return self.memory is not None


def find_entry(name_or_hub_id: str) -> CatalogueEntry | None:
    """Return the entry of this name, hub id, or hub id without its organisation; None if none."""
    found = find_variant(name_or_hub_id)
    return found[0] if found else _by_entry_name().get(_key(name_or_hub_id))


def find_variant(hub_id: str) -> tuple[CatalogueEntry, Variant] | None:
    """Return entry and variant of a hub id, with or without its organisation; None if none."""
    return _by_id().get(_key(hub_id))


def _llama(
    name: str,
    size: str,
    parameters: int,
    memory: str | None,
    remarks: tuple[str, str],
    repos: tuple[str, str],
    *successors: str,
    modelscope: tuple[str, str] | None = None,
    aliases: tuple[str, str] | None = None,
) -> CatalogueEntry:
    """`repos` are base and chat below meta-llama/, and below LLM-Research/ unless given."""
    base, chat = repos
    elsewhere = modelscope or (f"LLM-Research/{base}", f"LLM-Research/{chat}")
    earlier = [(f"meta-llama/{alias}",) for alias in aliases] if aliases else [(), ()]
    return CatalogueEntry(
        name,
        "LLaMA",
        "llama2" if name.startswith("LLaMA 2") else "llama3",
        size,
        parameters,
        memory,
        *remarks,
        variants=(
            Variant("base", f"meta-llama/{base}", elsewhere[0], True, earlier[0]),
            Variant("chat", f"meta-llama/{chat}", elsewhere[1], True, earlier[1]),
        ),
        successors=successors,
    )


def _glm(
    name: str,
    family: str,
    size: str,
    parameters: int,
    memory: str | None,
    remarks: tuple[str, str],
    repos: tuple[str | None, str],
    *successors: str,
) -> CatalogueEntry:
    """`repos` are base (None where it was not published) and chat, below zai-org/ and ZhipuAI/."""
    return CatalogueEntry(
        name,
        "ChatGLM",
        family,
        size,
        parameters,
        memory,
        *remarks,
        variants=tuple(
            Variant(
                "chat" if repo == repos[1] else "base",
                f"zai-org/{repo}",
                f"ZhipuAI/{repo}",
                aliases=(f"THUDM/{repo}",),
            )
            for repo in repos
            if repo
        ),
        successors=successors,
    )


def _qwen(
    name: str,
    parameters: int,
    memory: str | None,
    remarks: tuple[str, str],
    suffixes: tuple[str | None, str],
    *successors: str,
) -> CatalogueEntry:
    """`suffixes` make base (None where it was not published) and chat of Qwen/<name>."""
    version, _, size = name.partition("-")
    return CatalogueEntry(
        name,
        "Qwen",
        {"Qwen1.5": "qwen1.5", "Qwen3": "qwen3"}.get(version, "qwen2"),
        size,
        parameters,
        memory,
        *remarks,
        variants=tuple(
            Variant(kind, f"Qwen/{name}{suffix}", f"Qwen/{name}{suffix}")
            for kind, suffix in zip(_KINDS, suffixes, strict=True)
            if suffix is not None
        ),
        successors=successors,
    )


_KINDS: tuple[Literal["base", "chat"], ...] = ("base", "chat")
_SMALL = ("小型，适合试验和边缘设备", "Small: for trials and edge devices")
_MEDIUM = ("中等规模", "Medium size")
_LARGE = ("大规模", "Large")
_QWEN_CHAT, _QWEN_INSTRUCT, _QWEN3 = ("", "-Chat"), ("", "-Instruct"), ("-Base", "")

CATALOGUE: tuple[CatalogueEntry, ...] = (
    _llama(
        "LLaMA 2-7B", "7B", 6_738_415_616, "~16GB",
        ("基础版本", "Basic version"),
        ("Llama-2-7b-hf", "Llama-2-7b-chat-hf"),
        "LLaMA 3.1-8B", "LLaMA 3.2-3B",
        modelscope=("modelscope/Llama-2-7b-ms", "modelscope/Llama-2-7b-chat-ms"),
    ),
    _llama(
        "LLaMA 2-13B", "13B", 13_015_864_320, "~24GB",
        ("中等规模", "Medium size"),
        ("Llama-2-13b-hf", "Llama-2-13b-chat-hf"),
        "LLaMA 3.1-8B",
        modelscope=("modelscope/Llama-2-13b-ms", "modelscope/Llama-2-13b-chat-ms"),
    ),
    _llama(
        "LLaMA 2-70B", "70B", 68_976_648_192, "~140GB",
        ("大规模", "Large"),
        ("Llama-2-70b-hf", "Llama-2-70b-chat-hf"),
        "LLaMA 3.1-70B",
        modelscope=("modelscope/Llama-2-70b-ms", "modelscope/Llama-2-70b-chat-ms"),
    ),
    _llama(
        "LLaMA 3-8B", "8B", 8_030_261_248, "~16GB",
        ("新一代", "New generation"),
        ("Meta-Llama-3-8B", "Meta-Llama-3-8B-Instruct"),
        "LLaMA 3.1-8B", "LLaMA 3.2-3B", "LLaMA 3.2-1B",
    ),
    _llama(
        "LLaMA 3-70B", "70B", 70_553_706_496, "~140GB",
        ("新一代大模型", "New generation, large"),
        ("Meta-Llama-3-70B", "Meta-Llama-3-70B-Instruct"),
        "LLaMA 3.1-70B",
    ),
    _llama(
        "LLaMA 3.1-8B", "8B", 8_030_261_248, None,
        ("128K 上下文，多语言", "128K context, multilingual"),
        ("Llama-3.1-8B", "Llama-3.1-8B-Instruct"),
        modelscope=("LLM-Research/Meta-Llama-3.1-8B", "LLM-Research/Meta-Llama-3.1-8B-Instruct"),
        aliases=("Meta-Llama-3.1-8B", "Meta-Llama-3.1-8B-Instruct"),
    ),
    _llama(
        "LLaMA 3.1-70B", "70B", 70_553_706_496, None,
        ("128K 上下文，大规模", "128K context, large"),
        ("Llama-3.1-70B", "Llama-3.1-70B-Instruct"),
        modelscope=("LLM-Research/Meta-Llama-3.1-70B", "LLM-Research/Meta-Llama-3.1-70B-Instruct"),
        aliases=("Meta-Llama-3.1-70B", "Meta-Llama-3.1-70B-Instruct"),
    ),
    _llama(
        "LLaMA 3.2-1B", "1B", 1_235_814_400, None, _SMALL,
        ("Llama-3.2-1B", "Llama-3.2-1B-Instruct"),
    ),
    _llama(
        "LLaMA 3.2-3B", "3B", 3_212_749_824, None, _SMALL,
        ("Llama-3.2-3B", "Llama-3.2-3B-Instruct"),
    ),
    _glm(
        "ChatGLM2-6B", "chatglm2", "6B", 6_243_584_000, "~14GB",
        ("中文优化", "Tuned for Chinese"),
        (None, "chatglm2-6b"),
        "ChatGLM3-6B", "GLM-4-9B-HF",
    ),
    _glm(
        "ChatGLM3-6B", "chatglm3", "6B", 6_243_584_000, "~14GB",
        ("功能增强", "More functions"),
        ("chatglm3-6b-base", "chatglm3-6b"),
        "GLM-4-9B-HF",
    ),
    _glm(
        "GLM-4-9B", "glm-4", "9B", 9_399_951_360, "~20GB",
        ("最新版本", "Latest version"),
        ("glm-4-9b", "glm-4-9b-chat"),
        "GLM-4-9B-HF",
    ),
    _glm(
        "GLM-4-9B-HF", "glm-4-hf", "9B", 9_399_951_360, None,
        ("transformers 原生格式", "Native layout of transformers"),
        ("glm-4-9b-hf", "glm-4-9b-chat-hf"),
    ),
    _qwen(
        "Qwen1.5-7B", 7_721_324_544, "~16GB",
        ("多语言", "Multilingual"),
        _QWEN_CHAT, "Qwen2.5-7B", "Qwen3-8B",
    ),
    _qwen(
        "Qwen1.5-14B", 14_167_290_880, "~24GB",
        ("中等规模", "Medium size"),
        _QWEN_CHAT, "Qwen2.5-14B", "Qwen3-14B",
    ),
    _qwen(
        "Qwen2-7B", 7_615_616_512, "~16GB",
        ("第二代", "Second generation"),
        _QWEN_INSTRUCT, "Qwen2.5-7B", "Qwen3-8B",
    ),
    _qwen(
        "Qwen2-72B", 72_706_203_648, "~144GB",
        ("大规模", "Large"),
        _QWEN_INSTRUCT, "Qwen2.5-72B", "Qwen3-32B",
    ),
    _qwen("Qwen2.5-0.5B", 494_032_768, None, _SMALL, _QWEN_INSTRUCT),
    _qwen("Qwen2.5-1.5B", 1_543_714_304, None, _SMALL, _QWEN_INSTRUCT),
    _qwen("Qwen2.5-3B", 3_085_938_688, None, _SMALL, _QWEN_INSTRUCT),
    _qwen("Qwen2.5-7B", 7_615_616_512, None, _MEDIUM, _QWEN_INSTRUCT),
    _qwen("Qwen2.5-14B", 14_770_033_664, None, _MEDIUM, _QWEN_INSTRUCT),
    _qwen("Qwen2.5-32B", 32_763_876_352, None, _LARGE, _QWEN_INSTRUCT),
    _qwen("Qwen2.5-72B", 72_706_203_648, None, _LARGE, _QWEN_INSTRUCT),
    _qwen("Qwen3-0.6B", 596_049_920, None, _SMALL, _QWEN3),
    _qwen("Qwen3-1.7B", 1_720_574_976, None, _SMALL, _QWEN3),
    _qwen("Qwen3-4B", 4_022_468_096, None, _SMALL, _QWEN3),
    _qwen("Qwen3-8B", 8_190_735_360, None, _MEDIUM, _QWEN3),
    _qwen("Qwen3-14B", 14_768_307_200, None, _MEDIUM, _QWEN3),
    _qwen("Qwen3-32B", 32_762_123_264, None, _LARGE, (None, "")),
)  # fmt: skip


@cache
def _by_id() -> dict[str, tuple[CatalogueEntry, Variant]]:
    found: dict[str, tuple[CatalogueEntry, Variant]] = {}
    for entry in CATALOGUE:
        for variant in entry.variants:
            for repo in variant.ids:
                found[_key(repo)] = entry, variant
                found.setdefault(_key(repo.rpartition("/")[2]), (entry, variant))
    return found


@cache
def _by_entry_name() -> dict[str, CatalogueEntry]:
    return {_key(entry.name): entry for entry in CATALOGUE}


def _key(name: str) -> str:
    # ModelScope's cache writes ___ for a dot.
    return name.strip().replace("___", ".").casefold()
