#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes bad/: configs, safetensors files and folders, each with one lie, which its name tells. usage: make_bad_corpus.py FOLDER

config/LIE.json is a config.json; safetensors/LIE.safetensors stands beside FOLDER/config.json, which a whole file fits;
folder/LIE/ is a folder that lacks nothing else. bad.sh gives them to the program and compares what it says with said.txt."""
import json
import os
import shutil
import struct
import sys

ROOT = sys.argv[1]
BERT = dict(model_type="bert", architectures=["BertModel"], hidden_size=4, num_attention_heads=2, num_hidden_layers=1,
            intermediate_size=4, vocab_size=4, max_position_embeddings=4, type_vocab_size=1)


def write(path, content):
    path = os.path.join(ROOT, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


# ---- configs


def config(name, content):
    write(f"config/{name}.json", content if isinstance(content, (str, bytes)) else json.dumps(content))


def bert(name, **fields):
    config(name, {**BERT, **fields})


def configs():
    config("empty", "")
    config("cut_short", '{"model_type": "bert", "hidden_size": 4')
    config("a_list", "[1, 2]")
    config("a_number", "7")
    config("deep_nesting", "[" * 100000)
    config("deep_object", '{"a":' * 5000 + "1" + "}" * 5000)
    config("key_twice", '{"model_type": "bert", "hidden_size": 4, "hidden_size": 8}')
    config("not_a_number", '{"model_type": "bert", "layer_norm_eps": NaN}')
    config("infinite", '{"model_type": "bert", "layer_norm_eps": 1e999}')
    config("not_utf8", b'{"model_type": "b\xff\xfert"}')
    config("nul_in_a_text", '{"model_type": "bert\\u0000x"}')
    config("nul_byte", b'{"model_type": "bert"\0}')
    config("text_behind_the_end", '{"model_type": "bert"} and more')
    config("model_type_missing", {"hidden_size": 4})
    config("model_type_a_number", {"model_type": 4})
    config("model_type_unknown", {"model_type": "perceiver"})
    config("model_type_with_line_break", {"model_type": "bert\nodd"})
    config("model_type_endless", {"model_type": "b" * 20000})
    bert("architecture_unknown", architectures=["BertForMiracles"])
    bert("architecture_of_another_type", architectures=["T5Model"])
    bert("architectures_a_text", architectures="BertModel")
    bert("architectures_of_numbers", architectures=[3])
    bert("size_a_text", hidden_size="4")
    bert("size_a_fraction", hidden_size=4.5)
    bert("size_a_truth", hidden_size=True)
    bert("size_a_list", hidden_size=[4])
    bert("size_zero", hidden_size=0)
    bert("size_negative", hidden_size=-4)
    bert("size_absurd", hidden_size=10**18)
    bert("size_beyond_64_bits", vocab_size=10**20)
    bert("layers_1e9", num_hidden_layers=10**9)
    bert("layers_negative", num_hidden_layers=-1)
    bert("heads_not_dividing", num_attention_heads=3)
    bert("heads_zero", num_attention_heads=0)
    bert("epsilon_a_text", layer_norm_eps="small")
    bert("switch_a_text", is_decoder="yes")
    bert("cross_attention_without_decoder", add_cross_attention=True)
    bert("positions_unknown", position_embedding_type="rotary")
    bert("activation_unknown", hidden_act="glu")
    bert("activation_a_number", hidden_act=7)
    bert("field_unknown", attention_window=128)
    bert("field_misspelt", Hidden_size=4)
    bert("field_with_line_break", **{"odd\nfield": 1})
    bert("heads_pruned", pruned_heads={"0": [1]})
    bert("quantized", quantization_config={"quant_method": "gptq"})
    bert("code_of_its_own", auto_map={"AutoModel": "code.Model"})
    bert("classes_a_list", architectures=["BertForSequenceClassification"], id2label=["a"])
    bert("classes_none", architectures=["BertForSequenceClassification"], id2label={})
    bert("classes_negative", architectures=["BertForTokenClassification"], num_labels=-3)
    bert("answers_of_three_classes", architectures=["BertForQuestionAnswering"], id2label={"0": "a", "1": "b", "2": "c"})
    config("distilbert_heads_not_dividing", {"model_type": "distilbert", "architectures": ["DistilBertModel"], "n_heads": 7})
    families()


def family(name, model_type, architecture, **fields):
    config(f"{model_type}_{name}", {"model_type": model_type, "architectures": [architecture], **fields})


def families():
    family("image_of_three_sizes", "vit", "ViTModel", image_size=[32, 32, 32])
    family("patch_larger_than_image", "vit", "ViTModel", image_size=8, patch_size=16)
    family("grid_no_square", "vit", "ViTForMaskedImageModeling", image_size=[32, 16], patch_size=16)
    family("tower_a_text", "clip", "CLIPModel", text_config="small")
    family("tower_field_unknown", "clip", "CLIPModel", text_config={"window": 3})
    family("patch_larger_than_image", "clip", "CLIPModel", vision_config={"patch_size": 64, "image_size": 32})
    family("projection_unlike_integration", "xclip", "XCLIPModel", projection_dim=256)
    family("frames_absurd", "xclip", "XCLIPModel", vision_config={"num_frames": 10**18})
    family("backbone_unknown", "detr", "DetrModel", backbone="swin_tiny")
    family("backbone_config_of_another_type", "detr", "DetrModel", use_timm_backbone=False,
           backbone_config={"model_type": "swin"})
    family("width_no_multiple_of_4", "detr", "DetrModel", d_model=6, encoder_attention_heads=2, decoder_attention_heads=2)
    family("map_beyond_the_stages", "detr", "DetrModel", backbone_kwargs={"out_indices": [9]})
    family("option_unknown", "detr", "DetrModel", backbone_kwargs={"aa_layer": "blur"})
    family("stride_unknown", "detr", "DetrModel", backbone_kwargs={"output_stride": 4})
    family("mask_head_of_one_map", "detr", "DetrForSegmentation", backbone_kwargs={"out_indices": [4]})
    family("stages_of_other_lengths", "resnet", "ResNetModel", depths=[1, 1], hidden_sizes=[8, 8, 8])
    family("stages_1000", "resnet", "ResNetModel", depths=[1] * 1000, hidden_sizes=[8] * 1000)
    family("depth_1e9", "resnet", "ResNetModel", depths=[10**9, 1, 1, 1])
    family("depth_zero", "resnet", "ResNetModel", depths=[0, 1, 1, 1])
    family("widths_of_texts", "resnet", "ResNetModel", hidden_sizes=["a", "b", "c", "d"])
    family("layers_unknown", "resnet", "ResNetModel", layer_type="dense")
    family("stage_unknown", "resnet", "ResNetBackbone", out_features=["stage9"])
    family("multiplier_negative", "mobilenet_v2", "MobileNetV2Model", depth_multiplier=-1)
    family("multiplier_absurd", "mobilenet_v2", "MobileNetV2Model", depth_multiplier=1e18)
    family("divisor_zero", "mobilenet_v2", "MobileNetV2Model", depth_divisible_by=0)
    family("width_from_heads_absurd", "t5", "T5Model", d_kv=2**20, num_heads=2**20)
    family("feed_forward_unknown", "t5", "T5Model", feed_forward_proj="gated-tanh-relu-x")
    family("shared_keys_not_dividing", "llama", "LlamaForCausalLM", num_attention_heads=8, num_key_value_heads=3)
    family("rotation_scaling_unknown", "llama", "LlamaForCausalLM", rope_scaling={"type": "spiral", "factor": 2})
    family("rotation_scaling_a_text", "llama", "LlamaForCausalLM", rope_scaling="linear")
    family("heads_not_dividing", "gpt2", "GPT2LMHeadModel", n_embd=10, n_head=3)
    family("window_a_text", "qwen2", "Qwen2ForCausalLM", use_sliding_window=True, sliding_window="wide")
    family("convolutions_of_other_lengths", "wav2vec2", "Wav2Vec2Model", conv_dim=[8, 8], conv_kernel=[3], conv_stride=[2])
    family("norm_unknown", "wav2vec2", "Wav2Vec2Model", feat_extract_norm="batch")
    family("heads_not_dividing", "whisper", "WhisperModel", d_model=10, encoder_attention_heads=3)
    family("language_model_unknown", "llava", "LlavaForConditionalGeneration", text_config={"model_type": "mamba"})
    family("grids_none", "llava_next", "LlavaNextForConditionalGeneration", image_token_index=5,
           image_grid_pinpoints=[])


# ---- safetensors


def shapes():
    def linear(name):
        return [(name + ".weight", [4, 4]), (name + ".bias", [4])]

    def norm(name):
        return [(name + ".weight", [4]), (name + ".bias", [4])]

    layer = "encoder.layer.0."
    tables = [(f"embeddings.{name}_embeddings.weight", [n, 4]) for name, n in
              (("word", 4), ("position", 4), ("token_type", 1))]
    attention = [entry for name in ("query", "key", "value") for entry in linear(f"{layer}attention.self.{name}")]
    return (tables + norm("embeddings.LayerNorm") + attention + linear(layer + "attention.output.dense") +
            norm(layer + "attention.output.LayerNorm") + linear(layer + "intermediate.dense") +
            linear(layer + "output.dense") + norm(layer + "output.LayerNorm"))


def whole():
    """The header of a file that fits, and the size of its data."""
    header, at = {}, 0
    for name, shape in shapes():
        size = 4 * shape[0] * (shape[1] if len(shape) > 1 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return header, at


def file_of(header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def safetensors(name, header, data=b"", length=None):
    write(f"safetensors/{name}.safetensors", file_of(header, data, length))


def one(name, data=b"\0" * 16, **fields):
    """One tensor of four f32, but for the given fields; None leaves one out."""
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **fields}
    safetensors(name, {"t": {key: value for key, value in entry.items() if value is not None}}, data)


def two(name, first, second, size):
    def tensor(offsets):
        return {"dtype": "U8", "shape": [offsets[1] - offsets[0]], "data_offsets": offsets}

    safetensors(name, {"a": tensor(first), "b": tensor(second)}, b"\0" * size)


def headers():
    write("safetensors/empty.safetensors", b"")
    write("safetensors/four_bytes.safetensors", b"\1\0\0\0")
    write("safetensors/a_zip_archive.safetensors", b"PK\3\4" + b"\0" * 60)
    byte = b'{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    safetensors("header_longer_than_the_file", b"{}", length=1000)
    safetensors("header_of_2_to_63_bytes", b"{}", length=2**63)
    safetensors("header_of_all_bits", b"{}", length=2**64 - 1)
    safetensors("header_of_no_bytes", b"")
    safetensors("header_a_list", b"[]")
    safetensors("header_cut_short", b'{"t": {"dtype": "F32"')
    safetensors("header_deep", b'{"t":' + b"[" * 50000)
    safetensors("header_not_utf8", b'{"\xff": {}}')
    safetensors("header_key_twice", b'{"t":' + byte + b',"t":' + byte + b"}", b"\0")
    safetensors("header_with_nan", b'{"t":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}', b"\0")
    safetensors("header_a_name_with_nul", b'{"t\\u0000x":' + byte + b"}", b"\0")
    safetensors("header_a_name_with_line_break", b'{"t\\nx":7}')
    safetensors("tensor_a_number", {"t": 7})
    safetensors("metadata_a_list", {"__metadata__": []})
    safetensors("metadata_a_number_inside", {"__metadata__": {"format": 1}})


def tensors():
    one("dtype_missing", dtype=None)
    one("dtype_unknown", dtype="F31")
    one("dtype_a_number", dtype=32)
    one("dtype_of_8_bits", dtype="F8_E4M3", shape=[16])
    one("dtype_of_another_size", dtype="F64")
    one("shape_missing", shape=None)
    one("shape_a_number", shape=4)
    one("shape_negative", shape=[-4])
    one("shape_a_fraction", shape=[4.0])
    one("shape_absurd", shape=[10**18])
    one("shape_whose_product_overflows", shape=[2**32, 2**32, 2**32])
    one("shape_whose_product_wraps_to_16", shape=[2**62, 4, 4])
    one("shape_of_40_dimensions", shape=[1] * 40)
    one("offsets_missing", data_offsets=None)
    one("offsets_three", data_offsets=[0, 8, 16])
    one("offsets_of_texts", data_offsets=["0", "16"])
    one("offsets_of_fractions", data_offsets=[0.0, 16.0])
    one("offsets_negative", data_offsets=[-16, 0])
    one("offsets_reversed", data_offsets=[16, 0])
    one("offsets_beyond_the_end", data_offsets=[0, 16], data=b"\0" * 8)
    one("offsets_absurd", data_offsets=[0, 10**18])
    one("truth_of_2", dtype="BOOL", shape=[16], data=b"\2" * 16)
    one("bytes_behind_the_last", data=b"\0" * 20)
    two("tensors_overlap", [0, 8], [4, 12], 12)
    two("tensors_at_one_place", [0, 8], [0, 8], 8)
    two("tensors_with_a_gap", [0, 4], [8, 12], 12)


def models():
    header, size = whole()
    data = b"\0" * size
    query = "encoder.layer.0.attention.self.query.weight"
    at = header[query]["data_offsets"][0]
    rest = {name: {**entry, "data_offsets": [o - 64 if o > at else o for o in entry["data_offsets"]]}
            for name, entry in header.items() if name != query}
    odd = {"dtype": "F32", "shape": [1], "data_offsets": [size, size + 4]}
    safetensors("model_lacks_a_tensor", rest, data[64:])
    safetensors("model_has_one_more", {**header, "odd.weight": odd}, data + b"\0" * 4)
    safetensors("model_with_another_shape", {**header, query: {**header[query], "shape": [2, 8]}}, data)
    safetensors("model_with_integers", {**header, query: {**header[query], "dtype": "I32"}}, data)
    safetensors("model_of_another_prefix", {"model." + name: entry for name, entry in header.items()}, data)
    safetensors("model_without_tensors", {})
    safetensors("model_cut_short", header, data[:-4])


# ---- folders


def folder(name, **files):
    for path, content in {"config.json": BERT, **files}.items():
        write(f"folder/{name}/{path}", content if isinstance(content, bytes) else json.dumps(content))


def sharded(name, change=lambda weight_map: None, more=None, **files):
    header, size = whole()
    weight_map = {tensor: "model-1.safetensors" for tensor in header}
    change(weight_map)
    index = {"metadata": {"total_size": size}, "weight_map": weight_map, **(more or {})}
    shards = {"model-1.safetensors": file_of(header, b"\0" * size), **files}
    folder(name, **{"model.safetensors.index.json": index, **shards})


def all_to(shard):
    return lambda weight_map: weight_map.update({tensor: shard for tensor in weight_map})


def folders():
    tensor = "embeddings.LayerNorm.bias"
    again = file_of({tensor: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, b"\0" * 16)
    sharded("shard_outside_the_folder", all_to("../../safetensors/model_has_one_more.safetensors"))
    sharded("shard_by_absolute_path", all_to("/etc/passwd"))
    sharded("shard_missing", all_to("model-2.safetensors"))
    sharded("shard_without_name", all_to(""))
    sharded("shard_the_folder_itself", all_to("."))
    sharded("shard_the_index_itself", all_to("model.safetensors.index.json"))
    sharded("shard_a_number", all_to(1))
    sharded("shard_with_nul", all_to("model-1\0.safetensors"))
    sharded("tensor_not_in_its_shard", lambda weight_map: weight_map.update({"odd": "model-1.safetensors"}))
    sharded("tensor_in_two_shards", lambda weight_map: weight_map.update({tensor: "model-2.safetensors"}),
            **{"model-2.safetensors": again})
    sharded("weight_map_a_list", more={"weight_map": ["model-1.safetensors"]})
    sharded("weight_map_missing", more={"weight_map": None})
    sharded("weight_map_of_2000_shards", lambda weight_map: weight_map.update(
        {f"t{i}": f"model-{i}.safetensors" for i in range(2000)}))
    folder("index_no_json", **{"model.safetensors.index.json": b"{"})
    folder("index_tensor_twice", **{"model.safetensors.index.json": b'{"weight_map":{"a":"x","a":"y"}}'})
    folder("weights_a_folder", **{"model.safetensors/odd": b""})
    folder("weights_pickled", **{"pytorch_model.bin": b"\x80\2."})
    write("folder/config_a_folder/config.json/odd", b"")
    write("folder/config_missing/odd", b"")


for part in ("config", "safetensors", "folder"):
    shutil.rmtree(os.path.join(ROOT, part), ignore_errors=True)
write("config.json", json.dumps(BERT))
configs()
headers()
tensors()
models()
folders()
