/* SPDX-License-Identifier: Apache-2.0 */
/* See presets.h. To add one: a line here; presets_test.c checks its count. */
#include "model/presets.h"

#include <string.h>

static const struct assay_preset presets[] = {
    {"bert-tiny",
     "{\"model_type\": \"bert\", \"architectures\": [\"BertModel\"], \"hidden_size\": 128, \"num_hidden_layers\": 2,"
     " \"num_attention_heads\": 2, \"intermediate_size\": 512}",
     4385920, "huggingface.co/google/bert_uncased_L-2_H-128_A-2; Turc et al. 2019"},
    {"bert-base-uncased", "{\"model_type\": \"bert\", \"architectures\": [\"BertForMaskedLM\"]}", 109514298,
     "huggingface.co/google-bert/bert-base-uncased; Devlin et al. 2018"},
    {"bert-large-uncased",
     "{\"model_type\": \"bert\", \"architectures\": [\"BertForMaskedLM\"], \"hidden_size\": 1024, \"num_hidden_layers\": 24,"
     " \"num_attention_heads\": 16, \"intermediate_size\": 4096}",
     335174458, "huggingface.co/google-bert/bert-large-uncased; Devlin et al. 2018"},
    {"distilbert-base", "{\"model_type\": \"distilbert\", \"architectures\": [\"DistilBertForMaskedLM\"]}", 66985530,
     "huggingface.co/distilbert/distilbert-base-uncased; Sanh et al. 2019"},
    {"distilgpt2", "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"n_layer\": 6}", 81912576,
     "huggingface.co/distilbert/distilgpt2"},
    {"gpt2", "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"]}", 124439808,
     "huggingface.co/openai-community/gpt2; Radford et al. 2019"},
    {"gpt2-medium",
     "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 1024, \"n_layer\": 24, \"n_head\": 16}",
     354823168, "huggingface.co/openai-community/gpt2-medium"},
    {"gpt2-large",
     "{\"model_type\": \"gpt2\", \"architectures\": [\"GPT2LMHeadModel\"], \"n_embd\": 1280, \"n_layer\": 36, \"n_head\": 20}",
     774030080, "huggingface.co/openai-community/gpt2-large"},
    {"Qwen2-0.5B",
     "{\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForCausalLM\"], \"hidden_size\": 896, \"intermediate_size\": 4864,"
     " \"num_hidden_layers\": 24, \"num_attention_heads\": 14, \"num_key_value_heads\": 2, \"max_position_embeddings\": 131072,"
     " \"rope_theta\": 1000000.0, \"sliding_window\": 131072, \"tie_word_embeddings\": true}",
     494032768, "huggingface.co/Qwen/Qwen2-0.5B"},
    {"Qwen2-1.5B",
     "{\"model_type\": \"qwen2\", \"architectures\": [\"Qwen2ForCausalLM\"], \"hidden_size\": 1536, \"intermediate_size\": 8960,"
     " \"num_hidden_layers\": 28, \"num_attention_heads\": 12, \"num_key_value_heads\": 2, \"max_position_embeddings\": 131072,"
     " \"rope_theta\": 1000000.0, \"sliding_window\": 131072, \"tie_word_embeddings\": true}",
     1543714304, "huggingface.co/Qwen/Qwen2-1.5B"},
    {"TinyLlama-1.1B",
     "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 2048, \"intermediate_size\": 5632,"
     " \"num_hidden_layers\": 22, \"num_attention_heads\": 32, \"num_key_value_heads\": 4, \"rms_norm_eps\": 1e-5}",
     1100048384, "huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0"},
    {"t5-small", "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"]}", 60506624,
     "huggingface.co/google-t5/t5-small; Raffel et al. 2020"},
    {"t5-base",
     "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"], \"d_model\": 768, \"d_ff\": 3072, "
     "\"num_layers\": 12,"
     " \"num_heads\": 12}",
     222903552, "huggingface.co/google-t5/t5-base; Raffel et al. 2020"},
    {"t5-large",
     "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"], \"d_model\": 1024, \"d_ff\": 4096, "
     "\"num_layers\": 24,"
     " \"num_heads\": 16}",
     737668096, "huggingface.co/google-t5/t5-large; Raffel et al. 2020"},
    {"flan-t5-small",
     "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"], \"d_ff\": 1024, \"num_layers\": 8, "
     "\"num_heads\": 6,"
     " \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}",
     76961152, "huggingface.co/google/flan-t5-small; Chung et al. 2022"},
    {"flan-t5-base",
     "{\"model_type\": \"t5\", \"architectures\": [\"T5ForConditionalGeneration\"], \"d_model\": 768, \"num_layers\": 12,"
     " \"num_heads\": 12, \"feed_forward_proj\": \"gated-gelu\", \"tie_word_embeddings\": false}",
     247577856, "huggingface.co/google/flan-t5-base; Chung et al. 2022"},
    {"whisper-tiny", "{\"model_type\": \"whisper\", \"architectures\": [\"WhisperForConditionalGeneration\"]}", 37760640,
     "huggingface.co/openai/whisper-tiny; Radford et al. 2022"},
    {"whisper-base",
     "{\"model_type\": \"whisper\", \"architectures\": [\"WhisperForConditionalGeneration\"], \"d_model\": 512, "
     "\"encoder_layers\": 6,"
     " \"encoder_attention_heads\": 8, \"encoder_ffn_dim\": 2048, \"decoder_layers\": 6, \"decoder_attention_heads\": 8,"
     " \"decoder_ffn_dim\": 2048}",
     72593920, "huggingface.co/openai/whisper-base; Radford et al. 2022"},
    {"whisper-small",
     "{\"model_type\": \"whisper\", \"architectures\": [\"WhisperForConditionalGeneration\"], \"d_model\": 768, "
     "\"encoder_layers\": 12,"
     " \"encoder_attention_heads\": 12, \"encoder_ffn_dim\": 3072, \"decoder_layers\": 12, \"decoder_attention_heads\": 12,"
     " \"decoder_ffn_dim\": 3072}",
     241734912, "huggingface.co/openai/whisper-small; Radford et al. 2022"},
    {"whisper-medium",
     "{\"model_type\": \"whisper\", \"architectures\": [\"WhisperForConditionalGeneration\"], \"d_model\": 1024, "
     "\"encoder_layers\": 24,"
     " \"encoder_attention_heads\": 16, \"encoder_ffn_dim\": 4096, \"decoder_layers\": 24, \"decoder_attention_heads\": 16,"
     " \"decoder_ffn_dim\": 4096}",
     763857920, "huggingface.co/openai/whisper-medium; Radford et al. 2022"},
    {"resnet-18",
     "{\"model_type\": \"resnet\", \"architectures\": [\"ResNetForImageClassification\"], \"layer_type\": \"basic\","
     " \"hidden_sizes\": [64, 128, 256, 512], \"depths\": [2, 2, 2, 2], \"num_labels\": 1000}",
     11689512, "huggingface.co/microsoft/resnet-18; He et al. 2015"},
    {"resnet-34",
     "{\"model_type\": \"resnet\", \"architectures\": [\"ResNetForImageClassification\"], \"layer_type\": \"basic\","
     " \"hidden_sizes\": [64, 128, 256, 512], \"num_labels\": 1000}",
     21797672, "huggingface.co/microsoft/resnet-34"},
    {"resnet-50", "{\"model_type\": \"resnet\", \"architectures\": [\"ResNetForImageClassification\"], \"num_labels\": 1000}",
     25557032, "huggingface.co/microsoft/resnet-50; He et al. 2015"},
    {"resnet-101",
     "{\"model_type\": \"resnet\", \"architectures\": [\"ResNetForImageClassification\"], \"depths\": [3, 4, 23, 3],"
     " \"num_labels\": 1000}",
     44549160, "huggingface.co/microsoft/resnet-101"},
    {"resnet-152",
     "{\"model_type\": \"resnet\", \"architectures\": [\"ResNetForImageClassification\"], \"depths\": [3, 8, 36, 3],"
     " \"num_labels\": 1000}",
     60192808, "huggingface.co/microsoft/resnet-152"},
    {"vit-base-patch16-224",
     "{\"model_type\": \"vit\", \"architectures\": [\"ViTForImageClassification\"], \"num_labels\": 1000}", 86567656,
     "huggingface.co/google/vit-base-patch16-224; Dosovitskiy et al. 2020"},
    {"vit-base-patch32-384",
     "{\"model_type\": \"vit\", \"architectures\": [\"ViTForImageClassification\"], \"num_labels\": 1000, \"patch_size\": 32,"
     " \"image_size\": 384}",
     88297192, "huggingface.co/google/vit-base-patch32-384"},
    {"vit-large-patch16-224",
     "{\"model_type\": \"vit\", \"architectures\": [\"ViTForImageClassification\"], \"num_labels\": 1000, \"hidden_size\": 1024,"
     " \"num_hidden_layers\": 24, \"num_attention_heads\": 16, \"intermediate_size\": 4096}",
     304326632, "huggingface.co/google/vit-large-patch16-224"},
    {"vit-base-patch16-224-in21k", "{\"model_type\": \"vit\", \"architectures\": [\"ViTModel\"]}", 86389248,
     "huggingface.co/google/vit-base-patch16-224-in21k"},
    {"vit-tiny-patch16-224",
     "{\"model_type\": \"vit\", \"architectures\": [\"ViTForImageClassification\"], \"num_labels\": 1000, \"hidden_size\": 192,"
     " \"num_attention_heads\": 3, \"intermediate_size\": 768}",
     5717416, "huggingface.co/WinKawaks/vit-tiny-patch16-224; Steiner et al. 2021"},
    {"clip-vit-base-patch32", "{\"model_type\": \"clip\", \"architectures\": [\"CLIPModel\"]}", 151277313,
     "huggingface.co/openai/clip-vit-base-patch32; Radford et al. 2021"},
    {"clip-vit-base-patch16",
     "{\"model_type\": \"clip\", \"architectures\": [\"CLIPModel\"], \"vision_config\": {\"patch_size\": 16}}", 149620737,
     "huggingface.co/openai/clip-vit-base-patch16"},
    {"clip-vit-large-patch14",
     "{\"model_type\": \"clip\", \"architectures\": [\"CLIPModel\"], \"projection_dim\": 768, \"text_config\": {\"hidden_size\": "
     "768,"
     " \"intermediate_size\": 3072, \"num_attention_heads\": 12}, \"vision_config\": {\"hidden_size\": 1024,"
     " \"intermediate_size\": 4096, \"num_hidden_layers\": 24, \"num_attention_heads\": 16, \"patch_size\": 14}}",
     427616513, "huggingface.co/openai/clip-vit-large-patch14"},
    {"mobilenet_v2_0.35_96",
     "{\"model_type\": \"mobilenet_v2\", \"architectures\": [\"MobileNetV2ForImageClassification\"], \"depth_multiplier\": 0.35,"
     " \"image_size\": 96, \"num_labels\": 1001}",
     0, "huggingface.co/google/mobilenet_v2_0.35_96; timm says 1.68 M"},
    {"mobilenet_v2_1.0_224",
     "{\"model_type\": \"mobilenet_v2\", \"architectures\": [\"MobileNetV2ForImageClassification\"], \"num_labels\": 1001}",
     3506153, "huggingface.co/google/mobilenet_v2_1.0_224; Sandler et al. 2018"},
    {"mobilenet_v2_1.4_224",
     "{\"model_type\": \"mobilenet_v2\", \"architectures\": [\"MobileNetV2ForImageClassification\"], \"depth_multiplier\": 1.4,"
     " \"num_labels\": 1001}",
     0, "huggingface.co/google/mobilenet_v2_1.4_224; timm says 6.11 M"},
    {"detr-resnet-50",
     "{\"model_type\": \"detr\", \"architectures\": [\"DetrForObjectDetection\"], \"use_timm_backbone\": true,"
     " \"backbone\": \"resnet50\", \"num_labels\": 91}",
     41524768, "huggingface.co/facebook/detr-resnet-50; Carion et al. 2020"},
    {"detr-resnet-50-dc5",
     "{\"model_type\": \"detr\", \"architectures\": [\"DetrForObjectDetection\"], \"use_timm_backbone\": true,"
     " \"backbone\": \"resnet50\", \"dilation\": true, \"num_labels\": 91}",
     41524768, "huggingface.co/facebook/detr-resnet-50-dc5"},
    {"detr-resnet-101",
     "{\"model_type\": \"detr\", \"architectures\": [\"DetrForObjectDetection\"], \"use_timm_backbone\": true,"
     " \"backbone\": \"resnet101\", \"num_labels\": 91}",
     60464672, "huggingface.co/facebook/detr-resnet-101"},
    {"tiny-llava-v1",
     "{\"model_type\": \"llava\", \"architectures\": [\"LlavaForConditionalGeneration\"], \"image_token_index\": 32000,"
     " \"text_config\": {\"hidden_size\": 2048, \"intermediate_size\": 5632, \"num_hidden_layers\": 22, \"num_attention_heads\": "
     "32,"
     " \"num_key_value_heads\": 4, \"rms_norm_eps\": 1e-5, \"vocab_size\": 32064},"
     " \"vision_config\": {\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_hidden_layers\": 24, "
     "\"num_attention_heads\": 16,"
     " \"image_size\": 336, \"patch_size\": 14}}",
     1410113536, "huggingface.co/bczhou/tiny-llava-v1-hf; LLaVA-1.5 with TinyLlama-1.1B"},
    {"llava-1.5-7b",
     "{\"model_type\": \"llava\", \"architectures\": [\"LlavaForConditionalGeneration\"], \"image_token_index\": 32000,"
     " \"text_config\": {\"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-5, \"vocab_size\": 32064},"
     " \"vision_config\": {\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_hidden_layers\": 24, "
     "\"num_attention_heads\": 16,"
     " \"image_size\": 336, \"patch_size\": 14}}",
     7063427072, "huggingface.co/llava-hf/llava-1.5-7b-hf; Liu et al. 2023"},
    {"llava-next-tinyllama",
     "{\"model_type\": \"llava_next\", \"architectures\": [\"LlavaNextForConditionalGeneration\"], \"image_token_index\": 32000,"
     " \"text_config\": {\"hidden_size\": 2048, \"intermediate_size\": 5632, \"num_hidden_layers\": 22, \"num_attention_heads\": "
     "32,"
     " \"num_key_value_heads\": 4, \"rms_norm_eps\": 1e-5, \"vocab_size\": 32064},"
     " \"vision_config\": {\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_hidden_layers\": 24, "
     "\"num_attention_heads\": 16,"
     " \"image_size\": 336, \"patch_size\": 14}}",
     1410115584, "tiny-llava-v1 with the newline of LLaVA-NeXT: the sum of its parts"},
    {"llava-v1.6-vicuna-7b",
     "{\"model_type\": \"llava_next\", \"architectures\": [\"LlavaNextForConditionalGeneration\"], \"image_token_index\": 32000,"
     " \"text_config\": {\"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-5, \"vocab_size\": 32064},"
     " \"vision_config\": {\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_hidden_layers\": 24, "
     "\"num_attention_heads\": 16,"
     " \"image_size\": 336, \"patch_size\": 14}}",
     7063431168, "huggingface.co/llava-hf/llava-v1.6-vicuna-7b-hf; Liu et al. 2024"},
    {"wav2vec2-base", "{\"model_type\": \"wav2vec2\", \"architectures\": [\"Wav2Vec2Model\"]}", 94371712,
     "huggingface.co/facebook/wav2vec2-base; Baevski et al. 2020"},
    {"wav2vec2-base-960h", "{\"model_type\": \"wav2vec2\", \"architectures\": [\"Wav2Vec2ForCTC\"]}", 94396320,
     "huggingface.co/facebook/wav2vec2-base-960h; Baevski et al. 2020"},
    {"wav2vec2-large-960h-lv60-self",
     "{\"model_type\": \"wav2vec2\", \"architectures\": [\"Wav2Vec2ForCTC\"], \"hidden_size\": 1024, \"num_hidden_layers\": 24,"
     " \"num_attention_heads\": 16, \"intermediate_size\": 4096, \"conv_bias\": true, \"feat_extract_norm\": \"layer\","
     " \"do_stable_layer_norm\": true}",
     315471520, "huggingface.co/facebook/wav2vec2-large-960h-lv60-self; Xu et al. 2020"},
    {"xclip-base-patch32", "{\"model_type\": \"xclip\", \"architectures\": [\"XCLIPModel\"]}", 0,
     "huggingface.co/microsoft/xclip-base-patch32; Ni et al. 2022"},
    {"xclip-base-patch16",
     "{\"model_type\": \"xclip\", \"architectures\": [\"XCLIPModel\"], \"vision_config\": {\"patch_size\": 16}}", 0,
     "huggingface.co/microsoft/xclip-base-patch16; Ni et al. 2022"},
    {"clap-htsat-unfused", "{\"model_type\": \"clap\", \"architectures\": [\"ClapModel\"]}", 153492890,
     "huggingface.co/laion/clap-htsat-unfused; Wu et al. 2022"},
    {"clap-htsat-fused",
     "{\"model_type\": \"clap\", \"architectures\": [\"ClapModel\"], \"audio_config\": {\"enable_fusion\": true,"
     " \"fusion_type\": \"aff_2d\"}}",
     0, "huggingface.co/laion/clap-htsat-fused; Wu et al. 2022"},
};

const struct assay_preset *assay_preset_at(int i) { return i >= 0 && i < (int)ASSAY_COUNT(presets) ? &presets[i] : NULL; }

const struct assay_preset *assay_preset_find(const char *name)
{
    for (size_t i = 0; i < ASSAY_COUNT(presets); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

enum assay_status assay_preset_open(const struct assay_preset *preset, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err)
{
    static const struct assay_model_options usual = {0};
    json_t *config;
    *graph = NULL;
    enum assay_status st = assay_json_parse(preset->config, strlen(preset->config), preset->name, &config, err);
    if (st)
        return st;
    st = assay_model_build(config, preset->name, options ? options : &usual, graph, info, err);
    json_decref(config);
    return st;
}
