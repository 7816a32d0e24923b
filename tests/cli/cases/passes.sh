# What the passes of the native runtime's compiler make of a model, and its graph before and after.
mkdir tiny
cat >tiny/config.json <<'END'
{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 100, "n_positions": 64}
END
run assay models tiny --pass nonsense
run assay models tiny --passes --ops
run assay models tiny tiny --passes
assay models tiny --passes --format csv | grep -E '^(pass|activation|attention|linear),' | cut -d, -f1,2
assay models tiny --pass attention | grep -c ' = Softmax('
assay models tiny --pass attention | sed -n '/^# after/,$p' | grep -o 'Attention(.*' | sed 's/([^)]*)//'
assay models tiny --pass all | sed -n '/^# after/,$p' | sed -n 's/.* = \([A-Za-z.]*\)(.*/\1/p' | sort | uniq -c | sed 's/^ *//'
# Weights that nobody has drawn are not shown as zeros.
assay models ds-cnn-s --pass all | grep -m 2 '^constant stem'
