"""The calls of snnTorch's neurons, by the number of states that they take and return."""

from __future__ import annotations

from typing import Any

from torch import Tensor


class _Leaky:
    def forward(self, input_: Tensor, mem: Tensor | None = None) -> Any:
        """``current`` to ``spk, mem``, or ``spk`` with ``init_hidden=True``."""
        module: Any = self
        buffers, core = module._buffers, module._modules["core"]
        if mem is None:
            mem = buffers["mem"]
        elif module.init_hidden:
            module.refuse_states()
        if mem.shape != input_.shape:
            return module.advance(input_, (mem,))
        # advance() in a running network: each lookup saved is seen in the time of a small layer
        out, state = core.step(input_, core.State(mem))
        (mem,) = state
        buffers["mem"] = mem
        if out.dtype != input_.dtype:
            out = out.to(input_.dtype)
        return out if module.init_hidden and not module.output else (out, mem)


class _Synaptic:
    def forward(self, input_: Tensor, syn: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """``current`` to ``spk, syn, mem``, or ``spk`` with ``init_hidden=True``."""
        module: Any = self
        buffers, core = module._buffers, module._modules["core"]
        if module.init_hidden and not (syn is None and mem is None):
            module.refuse_states()
        if syn is None:
            syn = buffers["syn"]
        if mem is None:
            mem = buffers["mem"]
        if mem.shape != input_.shape or not module._potential_first:
            return module.advance(input_, (syn, mem))
        # advance() in a running network, for a state of the form (v, ...)
        out, state = core.step(input_, core.State(mem, syn))
        mem, syn = buffers["mem"], buffers["syn"] = state
        if out.dtype != input_.dtype:
            out = out.to(input_.dtype)
        return out if module.init_hidden and not module.output else (out, syn, mem)


class _Alpha:
    def forward(
        self,
        input_: Tensor,
        syn_exc: Tensor | None = None,
        syn_inh: Tensor | None = None,
        mem: Tensor | None = None,
    ) -> Any:
        """``current`` to ``spk, syn_exc, syn_inh, mem``, or ``spk`` with ``init_hidden=True``."""
        module: Any = self
        given = (syn_exc, syn_inh, mem)
        if module.init_hidden and not all(state is None for state in given):
            module.refuse_states()
        held = zip(module.slots, given, strict=True)
        return module.advance(
            input_, tuple(module._buffers[n] if s is None else s for n, s in held)
        )


CALLS: dict[str, tuple[type, tuple[str, ...]]] = {
    "Leaky": (_Leaky, ("mem",)),
    "Synaptic": (_Synaptic, ("syn", "mem")),
    "Alpha": (_Alpha, ("syn_exc", "syn_inh", "mem")),
}
