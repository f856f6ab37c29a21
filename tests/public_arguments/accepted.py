"""What the walk over public arguments leaves out, accepts, or finds under another name, and why."""

from __future__ import annotations

RECORD = "a record that the library makes, or that is checked where it is passed"

NOT_WALKED = {
    **dict.fromkeys(
        ("Alignment", "Drawing", "LagLedger", "Ledger", "TapeTable", "CellMasks", "Chunk", "Corpus", "DecoderState"),
        RECORD,
    ),
    **dict.fromkeys(
        ("Document", "Hypothesis", "Labelling", "Verification", "Window", "TruncationBias", "LayerFlow"), RECORD
    ),
    **dict.fromkeys(("GateFlow", "JacobianNorms", "ProbedNorms", "Saliency", "StepJacobians", "Summary"), RECORD),
    "StepModel": "a protocol",
    "as_generator": "takes its caller's name",
    "check_shape": "takes its caller's name",
    "undo_draws": "a decorator of constructors",
    "LRScheduler": "a base without a formula",
}
"""Public names without an example."""

TREE = "a tree, of which anything may be a leaf"
BEFORE = ("object", "type")

ACCEPTED: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(("probe_jacobian_norms: t", "saliency: t", "spectral_norm: t"), (("-1",), "the last step")),
    "DataParallel.pool_gradients: loss": (("nan", "1e400"), "a FloatingPointError on every rank"),
    "DataParallel.mean: value": (("nan", "1e400"), "of a rank whose share is empty"),
    "spectral_norm: s": (("-1",), "the last step, which is refused where t is the same"),
    "saliency: model": (("type",), "a class can be called; what comes of it is another matter"),
    "Tensor: data": (
        ("as complex", "as object", "as text", "two more axes", "masked"),
        "operations make tensors with it: it takes what it is given; mg.tensor checks",
    ),
    "Tensor: node": (("*",), "only the library passes a node, for every operation's result"),
    "tensor: data": (("as complex", "two more axes"), "any numbers of any shape"),
    "Parameter: data": (("two more axes",), "any floating-point numbers of any shape"),
    "from_dlpack: x": (("as complex", "two more axes", "masked"), "any numbers of any shape"),
    "bce_with_logits: pos_weight": (("1e400",), "an infinite weight is a number; NumPy warns of inf times 0"),
    **dict.fromkeys(
        (f"{loss}: ignore_index" for loss in ("cross_entropy", "CrossEntropyLoss", "nll_loss", "NLLLoss")),
        (("-1",), "any whole number"),
    ),
    **dict.fromkeys(
        (
            f"{kind}: {axis}"
            for kind, axis in (("GLU", "dim"), ("Softmax", "dim"), ("Softmin", "dim"), ("LogSoftmax", "dim"))
        ),
        (("-1", "10**30"), "any axis; which there are is seen in the call"),
    ),
    "call_in: xp": (("*",), "handed on as it is: rules call this, and a look would cost time"),
    "time_step: t": (("-1", "10**30"), "any label"),
    **dict.fromkeys(
        (
            "Vocabulary.from_text: max_size",
            "ByteVocabulary.from_text: max_size",
            "WordVocabulary.from_text: max_size",
            "Streams: steps",
            "Batches: batch_size",
            "BucketedBatches: batch_size",
            "bits_per_character: batch_size",
            "bits_per_character: steps",
            "bits_per_character: limit",
            "read_corpus: limit",
        ),
        (("10**30",), "more than the text has: all of it"),
    ),
    "Embedding: padding_idx": (("-1",), "counts from the end"),
    "Embedding(): ids": (("two more axes",), "any shape"),
    "Dropout(): x": (("as complex", "two more axes"), "any shape, and complex numbers can be scaled"),
    "Module.register_buffer: name": (("text", "'False'", "'3'", "'nope'"), "any name"),
    "Module.register_buffer: tensor": (("*",), "any numbers of any shape"),
    "ParameterList.append: value": (("two more axes",), "any shape"),
    "PReLU(): x": (("as complex", "two more axes"), "as the operation"),
    "ReLU(): x": (("as complex", "two more axes"), "as the operation"),
    "assign_gradients: tree": ((*BEFORE, "as complex", "as object", "as text", "two more axes"), TREE),
    "tree_flatten: tree": (BEFORE, TREE),
    "tree_map: tree": (BEFORE, TREE),
    "flatten: tree": (BEFORE, "what JSON cannot hold is refused by `save`"),
    "register_pytree: kind": (("type",), "a class, as is wanted"),
    "vmap: in_axes": (("-1", "10**30", "None"), "any axes; which there are is seen in the call"),
    "vmap: out_axes": (("-1", "10**30"), "any axes; which there are is seen in the call"),
    "hvp: primals": (("None", "dict", "masked"), "a tree; the example's own function fails on it, or NumPy's protocol"),
    "jvp: primals": (("None", "dict", "masked"), "a tree; the example's own function fails on it, or NumPy's protocol"),
    "general_divergence: targets": (("None",), "then the function takes one argument, and the example's takes two"),
    "probabilities: logits": (("two more axes",), "any shape"),
    "sample_stream: state": (("object", "type"), "the model checks it when the first id is asked for"),
    "likely: logits": (("two more axes",), "any shape"),
    "pad_sequence: sequences": (("ragged",), "that is what it is for"),
    "pad_sequence: padding_value": (("nan",), "a number that marks padding"),
    "unpad_sequence: padded": (("as complex", "two more axes"), "any numbers"),
    "Batches: data": (("as complex", "two more axes"), "any numbers of any shape"),
    "hold_out: data": (("as complex", "two more axes"), "any numbers of any shape"),
    "hold_out: groups": (("as complex", "as object", "as text"), "labels of any kind"),
    **dict.fromkeys(
        tuple(f"{kind}Vocabulary.decode: ids" for kind in ("", "Byte", "Word", "Subword")),
        (("two more axes",), "any shape"),
    ),
}
"""Bad values that an argument may accept, or "*" for all, and why."""

IDS, LENGTHS = ("ids",), ("lengths",)

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "Parameter: data": ("requires_grad",),  # it wants floating point, as mg.tensor(data, requires_grad=True) says
    "load: path": ("cannot be read",),  # with the path itself
    "load_weights: path": ("cannot be read",),
    "Trainer.resume: path": ("cannot be read", "folder"),
    "Trainer.save: path": ("folder",),
    "Tensor.to_device: device": ("backend",),
    "use_backend: name": ("backend",),
    "assign_gradients: tree": ("gradients",),  # the two trees differ
    "assign_gradients: gradients": ("grad",),
    "nll_loss: log_probs": ("targets",),
    "cross_entropy: logits": ("targets",),  # one of the two does not fit the other; so in the next ones
    "hvp: primals": ("argument 0", "vector", "data"),
    "hvp: vector": ("data",),
    "jvp: primals": ("argument 0", "tangents", "data"),
    "ModuleList: modules": ("module",),
    "ModuleDict: modules": ("module",),
    "ModuleDict.update: modules": ("module",),
    "ParameterDict: parameters": ("value",),
    "ParameterDict.update: parameters": ("value",),
    "ParameterList: values": ("value",),
    "ParameterList.extend: values": ("value",),
    "Sequential: modules": ("module",),
    "best_path: log_probs": ("input_lengths",),
    "prefix_beam_search: log_probs": ("input_lengths",),
    "forced_align: log_probs": ("input_lengths",),
    "forced_align: targets": ("target_lengths",),
    "ctc_loss: log_probs": ("input_lengths",),
    "ctc_loss: targets": ("target_lengths",),
    "CTCLoss(): log_probs": ("input_lengths",),
    "CTCLoss(): targets": ("target_lengths",),
    "GeneralRecurrence.weight: connection": ("connections",),
    "hold_out: data": ("groups",),  # there is one for each example
    "unpad_sequence: padded": ("lengths",),
    "load_torch_state_dict: prefix": ("state",),  # no name in the state begins with it
    "recurrence_from_torch_state_dict: prefix": ("state",),
    # A part of a model names its own argument
    "Bridge(): state": ("x",),
    "Decoder.step: tokens": IDS,
    "EncoderDecoder(): target": IDS,
    "EncoderDecoder(): source_lengths": LENGTHS,
    "EncoderDecoder(): target_lengths": LENGTHS,
    "EncoderDecoder.start: source_lengths": LENGTHS,
    "OneToOne(): x": ("xs",),
    "OneToMany(): x": ("xs",),
    "CharacterModel(): ids": ("xs",),
}
"""Other words under which an error may name an argument."""
