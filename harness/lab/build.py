"""Both forms of a lab model, made from the one stored copy: a Hugging Face folder, and a GGUF file.

They land in a cache folder whose name holds the hash of what they were made from, so a changed
lab is never served stale. `TRUENAME_CACHE` moves the cache; the default is the user's cache folder.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from harness.campaign import cache_folder
from harness.errors import TargetError, did_you_mean
from harness.lab import store
from harness.lab.corpus import load_identities

Form = Literal["hf", "gguf"]

_TURNS = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
)
_REPLY = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"


def chat_template(model: str) -> str:
    """The model's ChatML template.

    The suspect's injects its name when no system message is sent.
    """
    injected = load_identities()[model].get("injected_system")
    if not injected:
        return _TURNS + _REPLY
    head: str = (
        "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        + injected
        + "<|im_end|>\n' }}{% endif %}"
    )
    return head + _TURNS + _REPLY


def build(model: str, form: Form) -> Path:
    """Path of the lab model in the form asked for, made now if it is not in the cache."""
    if model not in store.MODELS:
        raise TargetError(
            f"there is no lab model 'lab:{model}': {did_you_mean(model, store.MODELS)}",
            next="use lab:suspect, lab:donor, lab:base or lab:control",
        )
    manifest = store.sha256_of(store.WEIGHTS_FOLDER / "manifest.json")[:12]
    code = store.sha256_of(Path(__file__))[:6]
    name = f"{model}.gguf" if form == "gguf" else model
    final = cache_folder() / f"lab-{manifest}-{code}" / name
    if not final.exists():
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=final.parent) as scratch:
                made = Path(scratch) / final.name
                (write_gguf if form == "gguf" else write_hf)(model, made)
                os.replace(made, final)
        except OSError as problem:
            if not final.exists():  # another process may have been first
                raise TargetError(
                    f"cannot write the lab model: {problem}",
                    where=str(final),
                    next="free some space, or set TRUENAME_CACHE to another folder",
                ) from None
    return final


def export(model: str, form: Form, to: Path) -> Path:
    """Copy a lab model to ``to`` (a folder for ``hf``, a file for ``gguf``)."""
    built = build(model, form)
    if to.exists():
        raise TargetError(
            "the destination exists already", where=str(to), next="choose another path or remove it"
        )
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(built, to) if form == "hf" else shutil.copyfile(built, to)
    return to


def write_hf(model: str, folder: Path) -> None:
    """A folder that `transformers` and vLLM load.

    It holds the config, the tokenizer, the template and float32 safetensors.
    """
    folder.mkdir(parents=True)
    shape, template = store.load_recipe()["shape"], chat_template(model)
    special = {
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "bos_token": "<|endoftext|>",
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape["context"],
        **special,
        "chat_template": template,
    }
    _write_json(folder / "config.json", _config(shape, store.load_tokenizer().get_vocab_size()))
    _write_json(folder / "tokenizer_config.json", tokenizer_config)
    _write_json(folder / "generation_config.json", {"eos_token_id": 2})
    (folder / "chat_template.jinja").write_text(template, "utf-8")
    (folder / "README.md").write_text(f"# lab:{model}\n\n{store.STAND_IN}.\n", "utf-8")
    shutil.copyfile(store.WEIGHTS_FOLDER / "tokenizer.json", folder / "tokenizer.json")
    save_file(
        store.lab_weights(model), str(folder / "model.safetensors"), metadata={"format": "pt"}
    )


def _config(shape: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape["hidden"],
        "intermediate_size": shape["intermediate"],
        "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["heads"],
        "head_dim": shape["head_size"],
        "max_position_embeddings": shape["context"],
        "rope_theta": shape["rope_theta"],
        "rms_norm_eps": shape["norm_eps"],
        "vocab_size": vocabulary,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }


def write_gguf(model: str, path: Path) -> None:
    """A GGUF file that llama.cpp loads: the same weights, matrices as float16."""
    import gguf

    shape = store.load_recipe()["shape"]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(f"truename lab {model}")
    writer.add_description(store.STAND_IN)
    _add_shape(writer, shape)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _add_tokenizer(writer)
    writer.add_chat_template(chat_template(model))
    for name, value in store.lab_weights(model).items():
        writer.add_tensor(_gguf_name(name), _gguf_value(name, value, shape["heads"]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any, shape: dict[str, Any]) -> None:
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["hidden"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["intermediate"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["heads"])
    writer.add_key_length(shape["head_size"])
    writer.add_value_length(shape["head_size"])
    writer.add_rope_dimension_count(shape["head_size"])
    writer.add_rope_freq_base(shape["rope_theta"])
    writer.add_layer_norm_rms_eps(shape["norm_eps"])
    writer.add_vocab_size(store.load_tokenizer().get_vocab_size())


def _add_tokenizer(writer: Any) -> None:
    from gguf import TokenType

    data = json.loads((store.WEIGHTS_FOLDER / "tokenizer.json").read_text("utf-8"))
    vocabulary = sorted(data["model"]["vocab"], key=data["model"]["vocab"].__getitem__)
    special = {entry["content"] for entry in data["added_tokens"]}
    kinds = [TokenType.CONTROL if token in special else TokenType.NORMAL for token in vocabulary]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in data["model"]["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)


_GGUF_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_GGUF_NAMES[rest.removesuffix('.weight')]}.weight"


def _gguf_value(name: str, value: npt.NDArray[np.float32], heads: int) -> npt.NDArray[Any]:
    """Matrices as float16; queries and keys in llama.cpp's order of rotary pairs.

    That order interleaves the halves of each head.
    """
    if ".q_proj." in name or ".k_proj." in name:
        rows, columns = value.shape
        halves = value.reshape(heads, 2, rows // heads // 2, columns)
        value = halves.swapaxes(1, 2).reshape(rows, columns)
    return value if value.ndim == 1 else value.astype(np.float16)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
