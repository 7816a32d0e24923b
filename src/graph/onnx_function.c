/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions of ONNX models (onnx_read.h): a node that calls one is replaced by the function's nodes, and their references to the
 * call's attributes by the values given. Functions may call functions; depth and total size are bounded.
 */
#include "graph/onnx_read.h"

#include <stdio.h>
#include <stdlib.h>

/* FunctionProto.attribute_proto, in files of IR version 9 and later; the messages here are compiled from an older onnx.proto. */
enum { FIELD_ATTRIBUTE_PROTO = 11, BYTES_PER_BYTE = 256 };

static enum assay_status read_default(struct assay_onnx_reader *reader, const ProtobufCMessageUnknownField *field,
                                      struct assay_onnx_function *function)
{
    ProtobufCMessage *message;
    size_t prefix = 0;
    /* The length stands before the message. */
    while (prefix < field->len && field->data[prefix++] >= 0x80)
        ;
    /* An empty message is many times larger in memory than in the file. */
    enum assay_status st = assay_onnx_charge(reader, BYTES_PER_BYTE * (int64_t)field->len, "an attribute of a function");
    if (!st)
        st = assay_onnx_unpack(&onnx__attribute_proto__descriptor, field->data + prefix, field->len - prefix, reader->where,
                               &message, reader->err);
    if (!st)
        function->defaults[function->n_defaults++] = (Onnx__AttributeProto *)message;
    return st;
}

enum assay_status assay_onnx_read_functions(struct assay_onnx_reader *reader, const Onnx__ModelProto *model)
{
    enum assay_status st = ASSAY_OK;
    reader->functions = assay_arena_array(&reader->scratch, model->n_functions, sizeof *reader->functions);
    for (size_t i = 0; i < model->n_functions && !st; i++) {
        const Onnx__FunctionProto *proto = model->functions[i];
        struct assay_onnx_function *function = &reader->functions[reader->n_functions++];
        function->proto = proto;
        const char *key =
            assay_arena_printf(&reader->scratch, "%s::%s", assay_onnx_domain(proto->domain), assay_onnx_text(proto->name));
        if (!assay_names_add(&reader->function_names, key, (int)i))
            return assay_error_set(reader->err, ASSAY_UNSUPPORTED,
                                   "%s: there are several functions %s; Assay does not have overloaded functions", reader->where,
                                   key);
        function->defaults = assay_arena_array(&reader->scratch, proto->base.n_unknown_fields, sizeof(Onnx__AttributeProto *));
        for (unsigned k = 0; k < proto->base.n_unknown_fields && !st; k++)
            if (proto->base.unknown_fields[k].tag == FIELD_ATTRIBUTE_PROTO &&
                proto->base.unknown_fields[k].wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
                st = read_default(reader, &proto->base.unknown_fields[k], function);
    }
    return st;
}

const struct assay_onnx_function *assay_onnx_find_function(const struct assay_onnx_reader *reader, const char *domain,
                                                           const char *name)
{
    if (reader->n_functions == 0)
        return NULL;
    int index;
    size_t n = strlen(domain) + strlen(name) + 3;
    char *key = assay_alloc(n);
    snprintf(key, n, "%s::%s", domain, name);
    bool found = assay_names_find(&reader->function_names, key, &index);
    free(key);
    return found ? &reader->functions[index] : NULL;
}

static const Onnx__AttributeProto *find_attribute(Onnx__AttributeProto **attributes, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(assay_onnx_text(attributes[i]->name), name) == 0)
            return attributes[i];
    return NULL;
}

enum assay_status assay_onnx_resolve(struct assay_onnx_reader *reader, const struct assay_onnx_call *call,
                                     const Onnx__AttributeProto *attribute, const Onnx__AttributeProto **found)
{
    *found = attribute;
    while (*found && *assay_onnx_text((*found)->ref_attr_name)) {
        const char *name = (*found)->ref_attr_name;
        if (!call)
            return assay_error_set(reader->err, ASSAY_INVALID,
                                   "%s: an attribute refers to '%s' of a function, but stands in none", reader->where, name);
        *found = find_attribute(call->node->attribute, call->node->n_attribute, name);
        if (!*found)
            *found = find_attribute(call->function->defaults, call->function->n_defaults, name);
        call = call->outer;
    }
    return ASSAY_OK;
}

/* ---- inlining */

static enum assay_status bind_inputs(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope,
                                     const Onnx__NodeProto *node, const Onnx__FunctionProto *proto,
                                     struct assay_onnx_scope *inside)
{
    if (node->n_input > proto->n_input || node->n_output > proto->n_output)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: node '%s' gives function %s more inputs or outputs than it has",
                               reader->where, assay_onnx_text(node->name), assay_onnx_text(proto->name));
    for (size_t i = 0; i < proto->n_input; i++) {
        int number = -1;
        const char *given = i < node->n_input ? assay_onnx_text(node->input[i]) : "";
        if (*given && !assay_onnx_find_value(scope, given, &number))
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: node '%s' (%s) reads '%s', which nothing in the model makes",
                                   reader->where, assay_onnx_text(node->name), assay_onnx_text(proto->name), given);
        if (!assay_names_add(&inside->names, assay_onnx_text(proto->input[i]), number))
            return assay_error_set(reader->err, ASSAY_INVALID, "%s: function %s has two inputs '%s'", reader->where,
                                   assay_onnx_text(proto->name), assay_onnx_text(proto->input[i]));
    }
    return ASSAY_OK;
}

/* An output of the function is the value that the calling node's output is; one that is an input as well needs a copy. */
static enum assay_status bind_outputs(struct assay_onnx_reader *reader, const struct assay_onnx_scope *scope,
                                      const Onnx__NodeProto *node, const Onnx__FunctionProto *proto,
                                      struct assay_onnx_scope *inside)
{
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = assay_onnx_text(proto->output[i]), *given = i < node->n_output ? assay_onnx_text(node->output[i]) : "";
        int number = -1, source;
        if (*given)
            assay_names_find(&scope->names, given, &number);
        if (assay_names_find(&inside->names, name, &source)) {
            if (number >= 0 && source < 0)
                return assay_error_set(reader->err, ASSAY_INVALID,
                                       "%s: function %s returns its input '%s', which node '%s' lacks", reader->where,
                                       assay_onnx_text(proto->name), name, assay_onnx_text(node->name));
            if (number >= 0)
                assay_graph_add_node(scope->graph, "Identity", "", 1, &source, 1, &number);
        } else {
            assay_names_add(&inside->names, name, number >= 0 ? number : assay_graph_add_value(scope->graph, name, NULL));
        }
    }
    return ASSAY_OK;
}

static void add_results(struct assay_onnx_scope *inside, const Onnx__FunctionProto *proto)
{
    for (size_t i = 0; i < proto->n_node; i++)
        for (size_t k = 0; k < proto->node[i]->n_output; k++) {
            const char *name = assay_onnx_text(proto->node[i]->output[k]);
            if (*name && !assay_names_find(&inside->names, name, NULL))
                assay_names_add(&inside->names, name, assay_graph_add_value(inside->graph, name, NULL));
        }
}

static enum assay_status check_opset(struct assay_onnx_reader *reader, const struct assay_onnx_scope *scope,
                                     const Onnx__FunctionProto *proto, int *opset)
{
    enum assay_status st = assay_onnx_read_opset(reader, proto->n_opset_import, proto->opset_import, scope->opset, opset);
    if (!st && *opset != scope->opset && (*opset > ASSAY_OPSET || scope->opset > ASSAY_OPSET))
        st = assay_error_set(reader->err, ASSAY_UNSUPPORTED, "%s: function %s is written in opset %d, the model in opset %d",
                             reader->where, assay_onnx_text(proto->name), *opset, scope->opset);
    return st;
}

enum assay_status assay_onnx_inline(struct assay_onnx_reader *reader, struct assay_onnx_scope *scope, const Onnx__NodeProto *node,
                                    const struct assay_onnx_function *function)
{
    const Onnx__FunctionProto *proto = function->proto;
    struct assay_onnx_call call = {scope->call, function, node};
    struct assay_onnx_scope inside = {.graph = scope->graph, .call = &call};
    if (reader->depth >= ASSAY_ONNX_MAX_DEPTH)
        return assay_error_set(reader->err, ASSAY_INVALID, "%s: function %s calls itself, or functions are nested too deep",
                               reader->where, assay_onnx_text(proto->name));
    /* Names and values of the call; its nodes are charged one by one. */
    int64_t n_names = (int64_t)(proto->n_input + proto->n_output);
    enum assay_status st = assay_onnx_charge(reader, 512 + 128 * n_names, "an inlined function");
    if (!st)
        st = check_opset(reader, scope, proto, &inside.opset);
    if (!st)
        st = bind_inputs(reader, scope, node, proto, &inside);
    if (!st)
        st = bind_outputs(reader, scope, node, proto, &inside);
    if (!st)
        add_results(&inside, proto);
    reader->depth++;
    for (size_t i = 0; i < proto->n_node && !st; i++)
        st = assay_onnx_read_node(reader, &inside, proto->node[i]);
    reader->depth--;
    assay_names_release(&inside.names);
    return st;
}
