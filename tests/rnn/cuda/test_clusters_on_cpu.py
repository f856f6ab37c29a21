"""The shim's thread-block clusters: stores into other blocks' shared memory, the split barrier, broken rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.backend import Backend
from tests.support.cuda_on_cpu.device import CLUSTERED, KernelFault, Settings
from tests.support.strict_device import xp

SEEDS = range(5)
"""0 is threads in order; the others shuffle them, and let stores arrive late."""
START = """
    DYNAMIC_SHARED(bytes);
    Real* const x = (Real*)bytes;
    const unsigned i = threadIdx.x, me = blockIdx.x, n = gridDim.x, next = (me + 1) % n;
    x[i] = -1;
    cluster_arrive();
    cluster_wait();
"""
REALS = {"float": np.float32, "double": np.float64}
BARRIER = "cluster_arrive(); cluster_wait();"


def launched(
    backend: Backend,
    source: str,
    *args: Any,
    grid: tuple[int, int, int] = (4, 1, 1),
    real: str = "float",
    options: tuple[str, ...] = (CLUSTERED,),
) -> None:
    """Launch a kernel of 64 threads a block with 64 values of shared memory; its sources name an argument `out`."""
    assert backend.kernels is not None
    text = f'typedef {real} Real;\nextern "C" __global__ void CLUSTER_DIMS __launch_bounds__(64, 1) kernel({source}'
    shared = 64 * REALS[real]().itemsize
    backend.kernels().compile(text, options)("kernel")(grid, 64, args, shared_memory=shared)


@pytest.fixture(params=SEEDS, ids="seed {}".format)
def any_order(request: pytest.FixtureRequest, launch_settings: Settings, kernels_on_cpu: Backend) -> Backend:
    launch_settings.seed = request.param
    return kernels_on_cpu


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("resident", [0, 4, 5])
def test_values_go_round_a_cluster(any_order: Backend, launch_settings: Settings, resident: int, real: str) -> None:
    """Each of six clusters on its own, whether they run together or one after the other."""
    launch_settings.resident = resident
    out = xp.zeros((3, 2, 4, 64), REALS[real])
    launched(
        any_order,
        f"""Real* out) {{
            {START}
            for (unsigned step = 0; step < 4; ++step) {{
                const Real carried = step ? x[i] : Real(64 * (4 * (2 * blockIdx.z + blockIdx.y) + me) + i);
                {BARRIER}
                store_to_block(x + i, next, carried);
                {BARRIER}
            }}
            out[64 * (4 * (2 * blockIdx.z + blockIdx.y) + me) + i] = x[i];
        }}""",
        out,
        grid=(4, 2, 3),
        real=real,
    )
    np.testing.assert_array_equal(out.get(), np.arange(3 * 2 * 4 * 64).reshape(3, 2, 4, 64))


def test_one_barrier_a_step_with_two_buffers(any_order: Backend) -> None:
    """The use that kernels make: everybody sends to everybody, to the parity of the step."""
    out = xp.zeros((4, 64), np.float32)
    launched(
        any_order,
        f"""Real* out) {{
            {START}
            Real mine = Real(me + 1);
            for (unsigned step = 0; step < 6; ++step) {{
                Real* const to = x + 32 * (step % 2);
                if (i < 8)
                    for (unsigned block = 0; block < n; ++block) store_to_block(to + 8 * me + i, block, mine);
                cluster_arrive();
                out[64 * me + i] = mine;  // work that the barrier hides
                cluster_wait();
                mine = 0;
                for (unsigned k = 0; k < 32; ++k) mine += to[k] / 16;
            }}
            out[64 * me + i] = mine;
            {BARRIER}
        }}""",
        out,
    )
    value = np.arange(1.0, 5)
    for _ in range(6):
        value = np.full(4, value.sum() / 2)
    np.testing.assert_array_equal(out.get(), np.broadcast_to(value[:, None], (4, 64)))


def read_before(backend: Backend, settings: Settings, between: str) -> list[set[float]]:
    """Return the values that threads of other blocks find, for every shuffled order, where `between` lies before it."""
    found = []
    for seed in SEEDS[1:]:
        settings.seed = seed
        out = xp.zeros(4 * 64, np.float32)
        launched(
            backend,
            f"""Real* out) {{
                {START}
                {between.replace("STORE", "store_to_block(x + i, next, Real(7));")}
                out[64 * me + i] = x[i];
                {BARRIER}
            }}""",
            out,
        )
        found.append(set(out.get()))
    return found


@pytest.mark.parametrize("between", ["STORE", "STORE wait_a_little();", "STORE __syncthreads();"])
def test_a_read_without_a_barrier_may_come_too_early(
    kernels_on_cpu: Backend, launch_settings: Settings, between: str
) -> None:
    found = read_before(kernels_on_cpu, launch_settings, between)
    assert all(values <= {-1, 7} for values in found)
    assert any(-1 in values for values in found)


def test_a_store_after_arriving_belongs_to_the_next_barrier(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    late = read_before(kernels_on_cpu, launch_settings, "cluster_arrive(); STORE cluster_wait();")
    assert any(-1 in values for values in late)
    after = f"cluster_arrive(); STORE cluster_wait(); {BARRIER}"
    assert read_before(kernels_on_cpu, launch_settings, after) == [{7}] * len(SEEDS[1:])


def test_a_read_between_arriving_and_waiting_may_come_too_early(
    kernels_on_cpu: Backend, launch_settings: Settings
) -> None:
    found = read_before(
        kernels_on_cpu,
        launch_settings,
        "STORE cluster_arrive(); wait_a_little(); const Real early = x[i]; cluster_wait(); x[i] = early;",
    )
    assert any(-1 in values for values in found)


def test_a_thread_stores_in_order(any_order: Backend) -> None:
    out = xp.zeros(4 * 64, np.float32)
    launched(
        any_order,
        f"""Real* out) {{
            {START}
            for (int k = 0; k < 5; ++k) store_to_block(x + i, next, Real(k));
            {BARRIER}
            out[64 * me + i] = x[i];
        }}""",
        out,
    )
    assert set(out.get()) == {4}


def test_vectors_go_round_a_cluster(any_order: Backend) -> None:
    """Of four values; a single value that the same thread stores into one of them later is the last."""
    out = xp.zeros(4 * 64, np.float32)
    launched(
        any_order,
        f"""Real* out) {{
            struct alignas(16) Vector {{ Real of[4]; }};
            {START}
            const Real k = Real(4 * i);
            if (i < 16) store_to_block((Vector*)x + i, next, {{k, k + 1, k + 2, k + 3}});
            if (i < 16) store_to_block(x + 4 * i + 2, next, Real(-5));
            {BARRIER}
            out[64 * me + i] = x[i];
        }}""",
        out,
    )
    values = np.arange(64.0)
    values[2::4] = -5
    np.testing.assert_array_equal(out.get(), np.tile(values, 4))


def test_a_store_into_the_own_block_is_a_store(any_order: Backend) -> None:
    """Also in a cluster of one block, and before the first barrier; its threads meet as ever."""
    for grid in (1, 4):
        out = xp.zeros(grid * 64, np.float32)
        launched(
            any_order,
            """Real* out) {
                DYNAMIC_SHARED(bytes);
                Real* const x = (Real*)bytes;
                store_to_block(x + threadIdx.x, blockIdx.x, Real(threadIdx.x));
                __syncthreads();
                out[64 * blockIdx.x + threadIdx.x] = x[63 - threadIdx.x];
            }""",
            out,
            grid=(grid, 1, 1),
        )
        np.testing.assert_array_equal(out.get(), np.tile(np.arange(63.0, -1, -1), grid))


@pytest.mark.parametrize(("resident", "together"), [(0, 8), (4, 4), (3, 2), (2, 2)])
def test_a_cluster_starts_as_a_whole(
    any_order: Backend, launch_settings: Settings, resident: int, together: int
) -> None:
    launch_settings.resident = resident
    out = xp.zeros(2, np.int32)  # blocks that run, and the most that did
    launched(
        any_order,
        """int* out) {
            if (threadIdx.x) return;
            if (++out[0] > out[1]) out[1] = out[0];
            for (int k = 0; k < 5; ++k) wait_a_little();
            --out[0];
        }""",
        out,
        grid=(2, 4, 1),
    )
    left, most = out.get()
    assert left == 0
    assert most <= (resident or together)  # with a seed blocks pause, so that others run at the same time
    assert launch_settings.seed or most == together


FAULTS = {
    "no first barrier": (
        "DYNAMIC_SHARED(bytes); store_to_block((Real*)bytes, (blockIdx.x + 1) % gridDim.x, Real(1));"
        "cluster_arrive(); cluster_wait();",
        "before a cluster barrier said that it has started",
    ),
    "a first barrier of the own block": (
        "DYNAMIC_SHARED(bytes); __syncthreads(); store_to_block((Real*)bytes, (blockIdx.x + 1) % gridDim.x, Real(1));"
        "cluster_arrive(); cluster_wait();",
        "before a cluster barrier said that it has started",
    ),
    "a first barrier without a wait": (
        "DYNAMIC_SHARED(bytes); cluster_arrive(); store_to_block((Real*)bytes, (blockIdx.x + 1) % gridDim.x, Real(1));"
        "cluster_wait();",
        "before a cluster barrier said that it has started",
    ),
    "a block beyond the cluster": (
        f"{START} store_to_block(x + i, me + 1, Real(1)); {BARRIER}",
        "into a block beyond the cluster",
    ),
    "no last barrier": (
        f"{START} store_to_block(x + i, next, Real(1));",
        "a block ended before|into another one that has ended",
    ),
    "a block that ends before a late store": (
        f"{START} if (me == 1) return; for (int k = 0; k < 9; ++k) wait_a_little();"
        "if (me == 0) store_to_block(x + i, next, Real(1));",
        "into another one that has ended",
    ),
    "a block that ends before the last barrier": (
        f"{START} if (me == 1) return; if (me == 0) wait_a_little(); {BARRIER}",
        "a thread left while others wait for the cluster",
    ),
    "a thread that ends before the last barrier": (
        f"{START} cluster_arrive(); if (me == 1 && i == 3) return; cluster_wait();",
        "a thread left while others wait for the cluster, or before it waited",
    ),
    "an arrival too many": (
        f"{START} cluster_arrive(); cluster_arrive(); cluster_wait();",
        "arrived at a cluster barrier again",
    ),
    "a wait too many": (f"{START} cluster_wait();", "waited at a cluster barrier without arriving"),
    "different barriers": (f"{START} if (i) __syncthreads(); else {{ {BARRIER} }}", "every thread waits at a barrier"),
    "a place behind the shared memory": (
        f"{START} store_to_block(x + 64, next, Real(1)); {BARRIER}",
        "from outside the dynamic shared memory",
    ),
    "a place before the shared memory": (
        f"{START} store_to_block(x - 1, next, Real(1)); {BARRIER}",
        "from outside the dynamic shared memory",
    ),
    "a vector across two places": (
        f"struct Vector {{ Real of[4]; }}; {START} store_to_block((Vector*)(x + 1), next, {{0, 0, 0, 0}}); {BARRIER}",
        "at a place that is no multiple of its size",
    ),
    "a variable of the block": (
        f"__shared__ Real declared; {START} store_to_block(&declared, next, Real(1)); {BARRIER}",
        "from outside the dynamic shared memory",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_kernel(any_order: Backend, fault: str) -> None:
    """In every order, the threads' own as well."""
    source, message = FAULTS[fault]
    with pytest.raises(KernelFault, match=message):
        launched(any_order, f"Real* out) {{ {source} }}", xp.zeros(1, np.float32))


def test_faults_of_a_launch(kernels_on_cpu: Backend, launch_settings: Settings) -> None:
    source, out = "Real* out) {}", xp.zeros(1, np.float32)
    launched(kernels_on_cpu, source, out, grid=(8, 2, 1))
    with pytest.raises(KernelFault, match="a cluster has more than 8 blocks"):
        launched(kernels_on_cpu, source, out, grid=(9, 1, 1))
    launch_settings.resident = 7
    with pytest.raises(KernelFault, match="a cluster has more blocks than run together"):
        launched(kernels_on_cpu, source, out, grid=(8, 1, 1))


@pytest.mark.parametrize("options", [(), ("-DK_CLUSTER=0",)], ids=str)
def test_without_the_option_every_block_is_alone(kernels_on_cpu: Backend, options: tuple[str, ...]) -> None:
    source = f"Real* out) {{ {START} store_to_block(x + i, 1 - me, Real(1)); {BARRIER} }}"
    out = xp.zeros(1, np.float32)
    launched(kernels_on_cpu, source, out, grid=(2, 1, 1))
    with pytest.raises(KernelFault, match="into a block beyond the cluster"):
        launched(kernels_on_cpu, source, out, grid=(2, 1, 1), options=options)
