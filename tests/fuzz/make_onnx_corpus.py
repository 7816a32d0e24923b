# SPDX-License-Identifier: Apache-2.0
# Writes corpus/onnx/: small models with one idea each, for the ONNX fuzz target. Needs python3-onnx.
import os
import numpy
import onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus", "onnx")
os.makedirs(folder, exist_ok=True)


def f32(name, values):
    return nh.from_array(numpy.array(values, numpy.float32), name)


def i64(name, values):
    return nh.from_array(numpy.array(values, numpy.int64), name)


def save(name, nodes, inputs, outputs, initializers=(), opset=17, functions=(), sparse=()):
    def infos(pairs):
        return [h.make_tensor_value_info(n, t, d) for n, t, d in pairs]
    graph = h.make_graph(nodes, name, infos(inputs), infos(outputs), list(initializers))
    graph.sparse_initializer.extend(sparse)
    imports = [h.make_opsetid("", opset)] + ([h.make_opsetid("test", 1)] if functions else [])
    model = h.make_model(graph, opset_imports=imports, functions=list(functions))
    model.ir_version = 8 if opset >= 15 else 4
    with open(os.path.join(folder, name + ".onnx"), "wb") as file:
        file.write(model.SerializeToString())


X = ("x", T.FLOAT, ["batch", 4])
save("mlp", [h.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1, alpha=0.5), h.make_node("Relu", ["h"], ["r"]),
             h.make_node("Softmax", ["r"], ["y"], axis=-1)],
     [X], [("y", T.FLOAT, ["batch", 3])], [f32("w", [[1, 2, 3, 4]] * 3), f32("b", [0, 1, 2])])
save("conv", [h.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=2),
              h.make_node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"]),
              h.make_node("MaxPool", ["n"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
              h.make_node("GlobalAveragePool", ["p"], ["y"])],
     [("x", T.FLOAT, [1, 2, 4, 4])], [("y", T.FLOAT, [1, 2, 1, 1])],
     [f32("w", numpy.ones((2, 1, 3, 3))), f32("s", [1, 2])])
save("shapes", [h.make_node("Shape", ["x"], ["s"]), h.make_node("Gather", ["s", "zero"], ["n"], axis=0),
                h.make_node("Unsqueeze", ["n", "axes"], ["u"]), h.make_node("Concat", ["u", "rest"], ["t"], axis=0),
                h.make_node("Reshape", ["x", "t"], ["r"]), h.make_node("Transpose", ["r"], ["p"], perm=[2, 0, 1]),
                h.make_node("Slice", ["p", "axes", "ends", "axes"], ["y"])],
     [X], [("y", T.FLOAT, None)], [i64("zero", 0), i64("axes", [0]), i64("rest", [2, 2]), i64("ends", [1])])
branch = [h.make_graph([h.make_node(op, ["x"], ["out"])], op, [], [h.make_tensor_value_info("out", T.FLOAT, None)])
          for op in ("Abs", "Neg")]
save("if", [h.make_node("If", ["c"], ["y"], then_branch=branch[0], else_branch=branch[1])],
     [("c", T.BOOL, []), X], [("y", T.FLOAT, None)])
body = h.make_graph([h.make_node("Identity", ["c"], ["again"]), h.make_node("Add", ["s", "x"], ["next"]),
                     h.make_node("Identity", ["next"], ["each"])], "body",
                    [h.make_tensor_value_info("i", T.INT64, []), h.make_tensor_value_info("c", T.BOOL, []),
                     h.make_tensor_value_info("s", T.FLOAT, None)],
                    [h.make_tensor_value_info("again", T.BOOL, []), h.make_tensor_value_info("next", T.FLOAT, None),
                     h.make_tensor_value_info("each", T.FLOAT, None)])
save("loop", [h.make_node("Loop", ["n", "", "x"], ["y", "all"], body=body)], [X],
     [("y", T.FLOAT, None), ("all", T.FLOAT, None)], [i64("n", 3)])
step = h.make_graph([h.make_node("Add", ["s", "e"], ["next"]), h.make_node("Identity", ["next"], ["out"])], "step",
                    [h.make_tensor_value_info("s", T.FLOAT, []), h.make_tensor_value_info("e", T.FLOAT, [])],
                    [h.make_tensor_value_info("next", T.FLOAT, []), h.make_tensor_value_info("out", T.FLOAT, [])])
save("scan", [h.make_node("Scan", ["zero", "x"], ["last", "y"], body=step, num_scan_inputs=1)], [("x", T.FLOAT, [5])],
     [("y", T.FLOAT, [5])], [f32("zero", 0)])
save("old", [h.make_node("Softmax", ["x"], ["s"]), h.make_node("Dropout", ["s"], ["d"], ratio=0.25, is_test=1),
             h.make_node("Add", ["d", "b"], ["a"], broadcast=1, axis=0), h.make_node("Clip", ["a"], ["l"], min=0.0, max=6.0),
             h.make_node("Pad", ["l"], ["p"], pads=[0, 1, 0, 1], value=1.0),
             h.make_node("Upsample", ["i"], ["u"], height_scale=2.0, width_scale=2.0),
             h.make_node("Slice", ["p"], ["y"], starts=[0], ends=[1], axes=[1])],
     [("x", T.FLOAT, [2, 4]), ("i", T.FLOAT, [1, 1, 2, 2])], [("y", T.FLOAT, [2, 1]), ("u", T.FLOAT, [1, 1, 4, 4])],
     [f32("b", [1, 2])], opset=6)
function = h.make_function("test", "twice", ["a"], ["c"], [h.make_node("LeakyRelu", ["a"], ["b"]), h.make_node("Add", ["b", "b"], ["c"])],
                           [h.make_opsetid("", 17)], ["alpha"])
function.node[0].attribute.append(onnx.AttributeProto(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT))
save("function", [h.make_node("twice", ["x"], ["y"], domain="test", alpha=0.5)], [X], [("y", T.FLOAT, None)], functions=[function])
save("quantized", [h.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]), h.make_node("MatMulInteger", ["q", "w", "z"], ["m"]),
                   h.make_node("Cast", ["m"], ["f"], to=T.FLOAT), h.make_node("Mul", ["f", "s"], ["y"])],
     [X], [("y", T.FLOAT, None)],
     [f32("s", 0.5), nh.from_array(numpy.array(3, numpy.uint8), "z"), nh.from_array(numpy.ones((4, 2), numpy.int8), "w")])
save("constants", [h.make_node("Constant", [], ["a"], value_floats=[1.0, 2.0]), h.make_node("Constant", [], ["b"], value=f32("", [3, 4])),
                   h.make_node("Add", ["a", "b"], ["s"]), h.make_node("Add", ["s", "d"], ["y"])], [],
     [("y", T.FLOAT, [2])],
     sparse=[h.make_sparse_tensor(f32("d", [5]), i64("", [1]), [2])])
save("gru", [h.make_node("GRU", ["x", "w", "r"], ["", "y"], hidden_size=2)], [("x", T.FLOAT, [3, 1, 2])], [("y", T.FLOAT, None)],
     [f32("w", numpy.ones((1, 6, 2))), f32("r", numpy.ones((1, 6, 2)))])
save("folded", [h.make_node("Resize", ["i", "", "scales"], ["u"], mode="linear"), h.make_node("Einsum", ["a", "a"], ["e"], equation="ij,kj->ik"),
                h.make_node("TopK", ["a", "k"], ["v", "n"]), h.make_node("ScatterElements", ["a", "n", "v"], ["s"], axis=1),
                h.make_node("CumSum", ["s", "one"], ["c"]), h.make_node("Where", ["mask", "c", "s"], ["y"])],
     [], [("y", T.FLOAT, None), ("u", T.FLOAT, None), ("e", T.FLOAT, None)],
     [f32("i", [[[[1, 2], [3, 4]]]]), f32("scales", [1, 1, 2, 1.5]), f32("a", [[3, 1, 2], [4, 6, 5]]), i64("k", [2]), i64("one", 1),
      nh.from_array(numpy.array([True, False, True]), "mask")])
