/* SPDX-License-Identifier: Apache-2.0 */
/* See presets.h. To add one: a line here; presets_test.c checks its count. */
#include "model/presets.h"

#include "model/family.h"

#include <stdlib.h>
#include <string.h>

/* Names with a slash are of huggingface.co; "the Hub" is what it counts in a model's safetensors. What several presets share: */
#define GATED "feed_forward_proj=gated-gelu tie_word_embeddings=false "
#define TINY_LLAMA(prefix)                                                                                                       \
    prefix "hidden_size=2048 " prefix "intermediate_size=5632 " prefix "num_hidden_layers=22 " prefix                            \
           "num_attention_heads=32 " prefix "num_key_value_heads=4 " prefix "rms_norm_eps=1e-5 "
#define VICUNA "text_config.max_position_embeddings=4096 text_config.rms_norm_eps=1e-5 "
#define CLIP_LARGE(patch, image)                                                                                                 \
    "vision_config.hidden_size=1024 vision_config.intermediate_size=4096 vision_config.num_hidden_layers=24 "                    \
    "vision_config.num_attention_heads=16 vision_config.patch_size=" patch " vision_config.image_size=" image " "
#define CLIP_LARGE_TEXT                                                                                                          \
    "projection_dim=768 text_config.hidden_size=768 text_config.intermediate_size=3072 text_config.num_attention_heads=12 "
#define LLAVA CLIP_LARGE("14", "336") "image_token_index=32000 text_config.vocab_size=32064 "
#define WHISPER(width, layers, heads, inner)                                                                                     \
    "d_model=" width " encoder_layers=" layers " encoder_attention_heads=" heads " encoder_ffn_dim=" inner                       \
    " decoder_layers=" layers " decoder_attention_heads=" heads " decoder_ffn_dim=" inner " "
#define VIT_LARGE "hidden_size=1024 num_hidden_layers=24 num_attention_heads=16 intermediate_size=4096 num_labels=1000 "
#define LARGE "hidden_size=1024 num_hidden_layers=24 num_attention_heads=16 intermediate_size=4096 "
#define LLAMA3                                                                                                                   \
    "vocab_size=128256 num_key_value_heads=8 rms_norm_eps=1e-5 rope_theta=500000.0 bos_token_id=128000 eos_token_id=128001 "

static const struct assay_preset presets[] = {
    {"bert-tiny", "BertForPreTraining", "hidden_size=128 num_hidden_layers=2 num_attention_heads=2 intermediate_size=512",
     4433468, "4.4M", 0, "google/bert_uncased_L-2_H-128_A-2; Turc et al. 2019"},
    {"bert-mini", "BertForPreTraining", "hidden_size=256 num_hidden_layers=4 num_attention_heads=4 intermediate_size=1024",
     11267900, "11.3M", 0, "google/bert_uncased_L-4_H-256_A-4; Turc et al. 2019"},
    {"bert-small", "BertForPreTraining", "hidden_size=512 num_hidden_layers=4 num_attention_heads=8 intermediate_size=2048",
     29058876, "29.1M", 0, "google/bert_uncased_L-4_H-512_A-8; Turc et al. 2019"},
    {"bert-medium", "BertForPreTraining", "hidden_size=512 num_hidden_layers=8 num_attention_heads=8 intermediate_size=2048",
     41668412, "41.7M", 0, "google/bert_uncased_L-8_H-512_A-8; Turc et al. 2019"},
    {"bert-base-uncased", "BertForMaskedLM", "", 109514298, "110M", 0, "google-bert/bert-base-uncased; Devlin et al. 2018"},
    {"bert-large-uncased", "BertForMaskedLM", LARGE, 335174458, "340M", 0, "google-bert/bert-large-uncased; Devlin et al. 2018"},
    {"distilbert-base", "DistilBertForMaskedLM", "", 66985530, "67M", 0,
     "distilbert/distilbert-base-uncased, Sanh et al. 2019; the Hub"},
    {"distilgpt2", "GPT2LMHeadModel", "n_layer=6", 81912576, "82M", 0, "distilbert/distilgpt2; its model card"},
    {"gpt2", "GPT2LMHeadModel", "", 124439808, "124M", 0, "openai-community/gpt2, Radford et al. 2019; the authors' repository"},
    {"gpt2-medium", "GPT2LMHeadModel", "n_embd=1024 n_layer=24 n_head=16", 354823168, "355M", 0,
     "openai-community/gpt2-medium; the authors' repository"},
    {"gpt2-large", "GPT2LMHeadModel", "n_embd=1280 n_layer=36 n_head=20", 774030080, "774M", 0,
     "openai-community/gpt2-large; the authors' repository"},
    {"gpt2-xl", "GPT2LMHeadModel", "n_embd=1600 n_layer=48 n_head=25", 1557611200, "1558M", 0,
     "openai-community/gpt2-xl; the authors' repository"},
    {"Qwen2-0.5B", "Qwen2ForCausalLM",
     "hidden_size=896 intermediate_size=4864 num_hidden_layers=24 num_attention_heads=14 num_key_value_heads=2 "
     "tie_word_embeddings=true max_position_embeddings=131072 rope_theta=1000000.0 sliding_window=131072",
     494032768, "0.49B", 0, "Qwen/Qwen2-0.5B; the model card"},
    {"Qwen2-1.5B", "Qwen2ForCausalLM",
     "hidden_size=1536 intermediate_size=8960 num_hidden_layers=28 num_attention_heads=12 num_key_value_heads=2 "
     "tie_word_embeddings=true max_position_embeddings=131072 rope_theta=1000000.0 sliding_window=131072",
     1543714304, "1.54B", 0, "Qwen/Qwen2-1.5B; the model card"},
    {"Qwen2-7B", "Qwen2ForCausalLM",
     "hidden_size=3584 intermediate_size=18944 num_hidden_layers=28 num_attention_heads=28 num_key_value_heads=4 "
     "vocab_size=152064 max_position_embeddings=131072 rope_theta=1000000.0 sliding_window=131072",
     7615616512, "7.62B", 0, "Qwen/Qwen2-7B; the Hub"},
    {"TinyLlama-1.1B", "LlamaForCausalLM", TINY_LLAMA(""), 1100048384, "1.1B", 0,
     "TinyLlama/TinyLlama-1.1B-Chat-v1.0; the model card"},
    {"Llama-3.2-1B", "LlamaForCausalLM",
     LLAMA3 "hidden_size=2048 intermediate_size=8192 num_hidden_layers=16 head_dim=64 rope_scaling.rope_type=llama3 "
            "rope_scaling.factor=32.0 rope_scaling.low_freq_factor=1.0 rope_scaling.high_freq_factor=4.0 "
            "rope_scaling.original_max_position_embeddings=8192 max_position_embeddings=131072 tie_word_embeddings=true",
     1235814400, "1.24B", 0, "meta-llama/Llama-3.2-1B; the Hub"},
    {"Llama-3.2-3B", "LlamaForCausalLM",
     LLAMA3
     "hidden_size=3072 intermediate_size=8192 num_hidden_layers=28 num_attention_heads=24 head_dim=128 "
     "rope_scaling.rope_type=llama3 rope_scaling.factor=32.0 rope_scaling.low_freq_factor=1.0 rope_scaling.high_freq_factor=4.0 "
     "rope_scaling.original_max_position_embeddings=8192 max_position_embeddings=131072 tie_word_embeddings=true",
     3212749824, "3.21B", 0, "meta-llama/Llama-3.2-3B; the model card"},
    {"Llama-2-7b", "LlamaForCausalLM", "max_position_embeddings=4096 rms_norm_eps=1e-5", 6738415616, "6.74B", 0,
     "meta-llama/Llama-2-7b-hf; the Hub"},
    {"Llama-3-8B", "LlamaForCausalLM", LLAMA3 "intermediate_size=14336 max_position_embeddings=8192", 8030261248, "8.03B", 0,
     "meta-llama/Meta-Llama-3-8B; the Hub"},
    {"t5-small", "T5ForConditionalGeneration", "", 60506624, "60.5M", 0, "google-t5/t5-small, Raffel et al. 2020; the Hub"},
    {"t5-base", "T5ForConditionalGeneration", "d_model=768 d_ff=3072 num_layers=12 num_heads=12", 222903552, "220M", 0,
     "google-t5/t5-base; Raffel et al. 2020"},
    {"t5-large", "T5ForConditionalGeneration", "d_model=1024 d_ff=4096 num_layers=24 num_heads=16", 737668096, "738M", 0,
     "google-t5/t5-large, Raffel et al. 2020; the Hub"},
    {"t5-v1_1-small", "T5ForConditionalGeneration", GATED "d_ff=1024 num_layers=8 num_heads=6", 76961152, "77M", 0,
     "google/t5-v1_1-small, Raffel et al. 2020; the Hub"},
    {"t5-v1_1-base", "T5ForConditionalGeneration", GATED "d_model=768 num_layers=12 num_heads=12", 247577856, "248M", 0,
     "google/t5-v1_1-base, Raffel et al. 2020; the Hub"},
    {"t5-v1_1-large", "T5ForConditionalGeneration", GATED "d_model=1024 d_ff=2816 num_layers=24 num_heads=16", 783150080, "783M",
     0, "google/t5-v1_1-large, Raffel et al. 2020; the Hub"},
    {"flan-t5-small", "T5ForConditionalGeneration", GATED "d_ff=1024 num_layers=8 num_heads=6", 76961152, "77M", 0,
     "google/flan-t5-small, Chung et al. 2022; the Hub"},
    {"flan-t5-base", "T5ForConditionalGeneration", GATED "d_model=768 num_layers=12 num_heads=12", 247577856, "248M", 0,
     "google/flan-t5-base, Chung et al. 2022; the Hub"},
    {"flan-t5-large", "T5ForConditionalGeneration", GATED "d_model=1024 d_ff=2816 num_layers=24 num_heads=16", 783150080, "783M",
     0, "google/flan-t5-large, Chung et al. 2022; the Hub"},
    {"whisper-tiny", "WhisperForConditionalGeneration", "", 37760640, "37.8M", 0,
     "openai/whisper-tiny, Radford et al. 2022; the Hub"},
    {"whisper-base", "WhisperForConditionalGeneration", WHISPER("512", "6", "8", "2048"), 72593920, "72.6M", 0,
     "openai/whisper-base, Radford et al. 2022; the Hub"},
    {"whisper-small", "WhisperForConditionalGeneration", WHISPER("768", "12", "12", "3072"), 241734912, "242M", 0,
     "openai/whisper-small, Radford et al. 2022; the Hub"},
    {"whisper-medium", "WhisperForConditionalGeneration", WHISPER("1024", "24", "16", "4096"), 763857920, "764M", 0,
     "openai/whisper-medium, Radford et al. 2022; the Hub"},
    {"whisper-large", "WhisperForConditionalGeneration", WHISPER("1280", "32", "20", "5120"), 1543304960, "1.54B", 0,
     "openai/whisper-large, Radford et al. 2022; the Hub"},
    {"whisper-large-v2", "WhisperForConditionalGeneration", WHISPER("1280", "32", "20", "5120"), 1543304960, "1.54B", 0,
     "openai/whisper-large-v2, Radford et al. 2022; the Hub"},
    {"whisper-large-v3", "WhisperForConditionalGeneration",
     WHISPER("1280", "32", "20", "5120") "num_mel_bins=128 vocab_size=51866", 1543490560, "1.54B", 0,
     "openai/whisper-large-v3; the Hub"},
    {"resnet-18", "ResNetForImageClassification",
     "layer_type=basic hidden_sizes=[64,128,256,512] depths=[2,2,2,2] num_labels=1000", 11689512, "11689512", 0,
     "microsoft/resnet-18, He et al. 2015; torchvision"},
    {"resnet-34", "ResNetForImageClassification", "layer_type=basic hidden_sizes=[64,128,256,512] num_labels=1000", 21797672,
     "21797672", 0, "microsoft/resnet-34, He et al. 2015; torchvision"},
    {"resnet-50", "ResNetForImageClassification", "num_labels=1000", 25557032, "25557032", 0,
     "microsoft/resnet-50, He et al. 2015; torchvision"},
    {"resnet-101", "ResNetForImageClassification", "depths=[3,4,23,3] num_labels=1000", 44549160, "44549160", 0,
     "microsoft/resnet-101, He et al. 2015; torchvision"},
    {"resnet-152", "ResNetForImageClassification", "depths=[3,8,36,3] num_labels=1000", 60192808, "60192808", 0,
     "microsoft/resnet-152, He et al. 2015; torchvision"},
    {"mobilenet_v2_0.35_96", "MobileNetV2ForImageClassification", "depth_multiplier=0.35 image_size=96 num_labels=1001", 1678409,
     "1.68M", -1281, "google/mobilenet_v2_0.35_96, Sandler et al. 2018; timm, with 1000 classes instead of 1001"},
    {"mobilenet_v2_0.75_160", "MobileNetV2ForImageClassification", "depth_multiplier=0.75 image_size=160 num_labels=1001",
     2637705, "2.64M", -1281, "google/mobilenet_v2_0.75_160, Sandler et al. 2018; timm, with 1000 classes instead of 1001"},
    {"mobilenet_v2_1.0_224", "MobileNetV2ForImageClassification", "num_labels=1001", 3506153, "3504872", -1281,
     "google/mobilenet_v2_1.0_224, Sandler et al. 2018; torchvision, with 1000 classes instead of 1001"},
    {"mobilenet_v2_1.4_224", "MobileNetV2ForImageClassification", "depth_multiplier=1.4 num_labels=1001", 6110569, "6.11M", -1793,
     "google/mobilenet_v2_1.4_224, Sandler et al. 2018; timm, with 1000 classes instead of 1001"},
    {"vit-tiny-patch16-224", "ViTForImageClassification",
     "hidden_size=192 num_attention_heads=3 intermediate_size=768 num_labels=1000", 5717416, "5.72M", 0,
     "WinKawaks/vit-tiny-patch16-224, Steiner et al. 2021; timm"},
    {"vit-tiny-patch16-384", "ViTForImageClassification",
     "hidden_size=192 num_attention_heads=3 intermediate_size=768 num_labels=1000 image_size=384", 5790376, "5.79M", 0,
     "Steiner et al. 2021; timm"},
    {"vit-small-patch16-224", "ViTForImageClassification",
     "hidden_size=384 num_attention_heads=6 intermediate_size=1536 num_labels=1000", 22050664, "22.05M", 0,
     "WinKawaks/vit-small-patch16-224, Steiner et al. 2021; timm"},
    {"vit-base-patch16-224-in21k", "ViTModel", "", 86389248, "86.4M", 0,
     "google/vit-base-patch16-224-in21k, Dosovitskiy et al. 2020; the Hub"},
    {"vit-base-patch16-224", "ViTForImageClassification", "num_labels=1000", 86567656, "86.57M", 0,
     "google/vit-base-patch16-224, Dosovitskiy et al. 2020; timm"},
    {"vit-base-patch16-384", "ViTForImageClassification", "image_size=384 num_labels=1000", 86859496, "86.86M", 0,
     "google/vit-base-patch16-384, Dosovitskiy et al. 2020; timm"},
    {"vit-base-patch32-384", "ViTForImageClassification", "patch_size=32 image_size=384 num_labels=1000", 88297192, "88.30M", 0,
     "google/vit-base-patch32-384, Dosovitskiy et al. 2020; timm"},
    {"vit-large-patch16-224", "ViTForImageClassification", VIT_LARGE, 304326632, "304.33M", 0,
     "google/vit-large-patch16-224, Dosovitskiy et al. 2020; timm"},
    {"vit-large-patch16-384", "ViTForImageClassification", VIT_LARGE "image_size=384", 304715752, "304.72M", 0,
     "google/vit-large-patch16-384, Dosovitskiy et al. 2020; timm"},
    {"vit-large-patch32-384", "ViTForImageClassification", VIT_LARGE "image_size=384 patch_size=32", 306632680, "306.63M", 0,
     "google/vit-large-patch32-384, Dosovitskiy et al. 2020; timm"},
    {"clip-vit-base-patch32", "CLIPModel", "", 151277313, "151M", 0,
     "openai/clip-vit-base-patch32, Radford et al. 2021; the Hub"},
    {"clip-vit-base-patch16", "CLIPModel", "vision_config.patch_size=16", 149620737, "150M", 0,
     "openai/clip-vit-base-patch16, Radford et al. 2021; the Hub"},
    {"clip-vit-large-patch14", "CLIPModel", CLIP_LARGE_TEXT CLIP_LARGE("14", "224"), 427616513, "428M", 0,
     "openai/clip-vit-large-patch14, Radford et al. 2021; the Hub"},
    {"clip-vit-large-patch14-336", "CLIPModel", CLIP_LARGE_TEXT CLIP_LARGE("14", "336"), 427944193, "428M", 0,
     "openai/clip-vit-large-patch14-336, Radford et al. 2021; the Hub"},
    {"detr-resnet-50", "DetrForObjectDetection", "use_timm_backbone=true backbone=resnet50 num_labels=91", 41524768, "41302368",
     -222400, "facebook/detr-resnet-50, Carion et al. 2020; the authors' log, less the stem and first stage, which they freeze"},
    {"detr-resnet-50-dc5", "DetrForObjectDetection", "use_timm_backbone=true backbone=resnet50 dilation=true num_labels=91",
     41524768, "41M", -222400, "facebook/detr-resnet-50-dc5; Carion et al. 2020, likewise"},
    {"detr-resnet-101", "DetrForObjectDetection", "use_timm_backbone=true backbone=resnet101 num_labels=91", 60464672, "60M",
     -222400, "facebook/detr-resnet-101; Carion et al. 2020, likewise"},
    {"detr-resnet-101-dc5", "DetrForObjectDetection", "use_timm_backbone=true backbone=resnet101 dilation=true num_labels=91",
     60464672, "60M", -222400, "facebook/detr-resnet-101-dc5; Carion et al. 2020, likewise"},
    {"tiny-llava-v1", "LlavaForConditionalGeneration", LLAVA TINY_LLAMA("text_config."), 1410113536, "1.41B", 0,
     "bczhou/tiny-llava-v1-hf, LLaVA-1.5 with TinyLlama-1.1B; the Hub"},
    {"llava-1.5-7b", "LlavaForConditionalGeneration", LLAVA VICUNA, 7063427072, "7.06B", 0,
     "llava-hf/llava-1.5-7b-hf, Liu et al. 2023; the Hub"},
    {"llava-1.5-13b", "LlavaForConditionalGeneration",
     LLAVA VICUNA "text_config.hidden_size=5120 text_config.intermediate_size=13824 text_config.num_hidden_layers=40 "
                  "text_config.num_attention_heads=40",
     13351494656, "13.4B", 0, "llava-hf/llava-1.5-13b-hf, Liu et al. 2023; the Hub"},
    {"llava-next-tinyllama", "LlavaNextForConditionalGeneration", LLAVA TINY_LLAMA("text_config."), 1410115584, "1.41B", 0,
     "tiny-llava-v1 with the newline of LLaVA-NeXT; the Hub's count of the former"},
    {"llava-v1.6-vicuna-7b", "LlavaNextForConditionalGeneration", LLAVA VICUNA, 7063431168, "7.06B", 0,
     "llava-hf/llava-v1.6-vicuna-7b-hf, Liu et al. 2024; the Hub"},
    {"llava-v1.6-vicuna-13b", "LlavaNextForConditionalGeneration",
     LLAVA VICUNA "text_config.hidden_size=5120 text_config.intermediate_size=13824 text_config.num_hidden_layers=40 "
                  "text_config.num_attention_heads=40",
     13351499776, "13.4B", 0, "llava-hf/llava-v1.6-vicuna-13b-hf, Liu et al. 2024; the Hub"},
    {"wav2vec2-base", "Wav2Vec2Model", "", 94371712, "95.04M", 672896,
     "facebook/wav2vec2-base, Baevski et al. 2020; SUPERB, with the quantizer of pre-training"},
    {"wav2vec2-base-960h", "Wav2Vec2ForCTC", "", 94396320, "94.4M", 0,
     "facebook/wav2vec2-base-960h, Baevski et al. 2020; the Hub"},
    {"wav2vec2-large-960h", "Wav2Vec2ForCTC", LARGE, 315461792, "315M", 0,
     "facebook/wav2vec2-large-960h, Baevski et al. 2020; the Hub"},
    {"wav2vec2-large-960h-lv60-self", "Wav2Vec2ForCTC", LARGE "conv_bias=true feat_extract_norm=layer do_stable_layer_norm=true",
     315471520, "315M", 0, "facebook/wav2vec2-large-960h-lv60-self, Xu et al. 2020; the Hub"},
    {"xclip-base-patch32", "XCLIPModel", "", 196585729, "197M", 0, "microsoft/xclip-base-patch32, Ni et al. 2022; the Hub"},
    {"xclip-base-patch16", "XCLIPModel", "vision_config.patch_size=16", 194929153, "195M", 0,
     "microsoft/xclip-base-patch16, Ni et al. 2022; the Hub"},
    {"xclip-large-patch14", "XCLIPModel",
     CLIP_LARGE_TEXT CLIP_LARGE("14", "224") "vision_config.mit_hidden_size=768 vision_config.mit_intermediate_size=3072",
     575673601, "", 0, "microsoft/xclip-large-patch14, Ni et al. 2022; nobody that we know of"},
    {"clap-htsat-unfused", "ClapModel", "", 153492890, "", 0, "laion/clap-htsat-unfused, Wu et al. 2022; nobody that we know of"},
    {"clap-htsat-fused", "ClapModel", "audio_config.enable_fusion=true audio_config.fusion_type=aff_2d", 153507530, "", 0,
     "laion/clap-htsat-fused, Wu et al. 2022; nobody that we know of"},
    {"ds-cnn-s", "DsCnnForAudioClassification", "hidden_size=64 strides=[1,1,1,1]", 23180, "38.6K", 15424,
     "Zhang et al. 2017, table 6: bytes of 8-bit weights, norms folded, and of activations"},
    {"ds-cnn-m", "DsCnnForAudioClassification", "hidden_size=172 stem_stride=[2,1] strides=[2,1,1,1]", 136580, "189.2K", 52632,
     "Zhang et al. 2017, table 6: bytes of 8-bit weights, norms folded, and of activations"},
    {"ds-cnn-l", "DsCnnForAudioClassification", "hidden_size=276 stem_stride=[2,1] strides=[2,1,1,1,1]", 413736, "497.6K", 83904,
     "Zhang et al. 2017, table 6: bytes of 8-bit weights, norms folded, and of activations"},
    {"mlperf-tiny-kws", "DsCnnForAudioClassification", "hidden_size=64 strides=[1,1,1,1] conv_bias=true", 23756, "23756", 0,
     "Banbury et al. 2021; the trainable ones of their Keras model"},
    {"lstm-imdb", "LstmForSequenceClassification",
     "vocab_size=20000 embedding_size=128 hidden_size=128 num_layers=1 bidirectional=false num_labels=1", 2692225, "2691713",
     -512, "Keras' example imdb_lstm; its summary, with one bias where PyTorch has two"},
    {"lstm-imdb-bidirectional", "LstmForSequenceClassification",
     "vocab_size=20000 embedding_size=128 hidden_size=64 num_layers=2 num_labels=1", 2758785, "2757761", -1024,
     "Keras' example bidirectional_lstm_imdb; its summary, with one bias where PyTorch has two"},
};

const struct assay_preset *assay_preset_at(int i) { return i >= 0 && i < (int)ASSAY_COUNT(presets) ? &presets[i] : NULL; }

const struct assay_preset *assay_preset_find(const char *name)
{
    for (size_t i = 0; i < ASSAY_COUNT(presets); i++)
        if (strcmp(presets[i].name, name) == 0)
            return &presets[i];
    return NULL;
}

/* "vision_config.patch_size=16" into the object. */
static void set_field(json_t *config, char *word)
{
    char *value = strchr(word, '=');
    ASSAY_ASSERT(value);
    *value++ = 0;
    for (char *dot = strchr(word, '.'); dot; dot = strchr(word, '.')) {
        *dot = 0;
        json_t *sub = json_object_get(config, word);
        if (!sub) {
            sub = json_object();
            json_object_set_new(config, word, sub);
        }
        config = sub;
        word = dot + 1;
    }
    json_t *parsed = json_loads(value, JSON_DECODE_ANY, NULL);
    json_object_set_new(config, word, parsed ? parsed : json_string(value));
}

void assay_preset_set(json_t *config, const char *fields)
{
    char *words = assay_alloc(strlen(fields) + 1), *rest = NULL;
    strcpy(words, fields);
    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        set_field(config, word);
    free(words);
}

json_t *assay_preset_config(const struct assay_preset *preset)
{
    const struct assay_architecture *architecture;
    ASSAY_ASSERT(assay_family_find(preset->architecture, &architecture));
    json_t *config = json_pack("{s:s, s:[s]}", "model_type", architecture->model_type, "architectures", preset->architecture);
    assay_preset_set(config, preset->fields);
    return config;
}

enum assay_status assay_preset_open(const struct assay_preset *preset, const struct assay_model_options *options,
                                    struct assay_graph **graph, struct assay_model_info *info, struct assay_error *err)
{
    static const struct assay_model_options usual = {0};
    json_t *config = assay_preset_config(preset);
    enum assay_status st = assay_model_build(config, preset->name, options ? options : &usual, graph, info, err);
    json_decref(config);
    return st;
}
