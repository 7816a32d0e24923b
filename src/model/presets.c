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
