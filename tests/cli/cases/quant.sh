# assay quant: a quantized model, and what is wrong with what it is asked.
run assay quant static ds-cnn-s --output int8.onnx --samples 1
run assay models int8.onnx --ops --format csv | cut -d, -f1,3 | sed 1d
run assay quant static int8.onnx --output again.onnx
run assay quant dynamic ds-cnn-s --output int8.onnx
run assay quant static ds-cnn-s
run assay quant static ds-cnn-s --output int8.txt
run assay quant static ds-cnn-s --output int8.onnx --samples 0
run assay quant static absent.onnx --output int8.onnx
