#!/usr/bin/env bash
# nvidia-cuda-nvrtc 13.5.37, for sm_90: the release of a cluster's barrier, barrier.cluster.arrive.release, becomes
# MEMBAR.ALL.GPU, a fence of all memory for the whole device, and its acquire, barrier.cluster.wait.acquire, is followed
# by CCTL.IVALL, which empties the L1 cache. The block's own barrier needs neither, and a transaction barrier that counts
# what st.async stores into another block does not either. So a kernel that stores into its cluster's shared memory and
# meets at the barrier waits for its earlier global stores too, and reads anew what it had in L1. No GPU is needed.
# Exits 1 where the instructions are others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nvidia-cuda-nvrtc==13.5.37 nvidia-cuda-nvdisasm==13.5.37
cat > "$folder/program.py" <<'PY'
import ctypes
import subprocess
import sys
from pathlib import Path

packages = Path(sys.prefix).glob("lib/python3*/site-packages/nvidia")
files = [file for package in packages for file in package.rglob("*")]
nvrtc = ctypes.CDLL(str(sorted(f for f in files if f.name.startswith("libnvrtc.so"))[0]))
nvdisasm = next(f for f in files if f.name == "nvdisasm")
HEAD = """extern "C" __global__ void __cluster_dims__(2, 1, 1) kernel(float* to, const float* from) {
    __shared__ float x[64];
    __shared__ alignas(8) unsigned long long arrived;
    const unsigned other = blockIdx.x % 2 ^ 1, here = __cvta_generic_to_shared(x + threadIdx.x);
    unsigned there, barrier;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(other));
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(barrier) : "r"((unsigned)__cvta_generic_to_shared(&arrived)), "r"(other));
    const float value = from[threadIdx.x];
"""
STORE = 'asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(value) : "memory");'
ENDS = {
    "block": "x[threadIdx.x ^ 1] = value; __syncthreads();",
    "cluster": STORE + """
        asm volatile("barrier.cluster.arrive.release;" ::: "memory");
        asm volatile("barrier.cluster.wait.acquire;" ::: "memory");""",
    "transaction": """
        asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];"
                     ::"r"(there), "r"(__float_as_uint(value)), "r"(barrier) : "memory");
        unsigned done = 0;
        while (!done)
            asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], 0; selp.u32 %0, 1, 0, p; }"
                         : "=r"(done) : "r"((unsigned)__cvta_generic_to_shared(&arrived)) : "memory");""",
}


def instructions(end):
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    source = HEAD + end + "\n    to[blockIdx.x * 64 + threadIdx.x] = x[threadIdx.x];\n}"
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = (ctypes.c_char_p * 2)(b"-arch=sm_90", b"-std=c++17")
    if nvrtc.nvrtcCompileProgram(program, 2, options):
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        raise SystemExit(log.value.decode())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    Path("kernel.cubin").write_bytes(cubin.raw)
    text = subprocess.run([nvdisasm, "-c", "kernel.cubin"], capture_output=True, text=True, check=True).stdout
    return [name for name in ("MEMBAR.ALL.GPU", "UCGABAR_ARV", "CCTL.IVALL", "STAS", "BAR.SYNC") if name in text]


found = {name: instructions(end) for name, end in ENDS.items()}
for name, names in found.items():
    print(f"{name}: {', '.join(names)}")
raise SystemExit(
    0
    if found
    == {
        "block": ["BAR.SYNC"],
        "cluster": ["MEMBAR.ALL.GPU", "UCGABAR_ARV", "CCTL.IVALL"],
        "transaction": ["STAS"],
    }
    else 1
)
PY
cd "$folder" && "$folder/venv/bin/python" program.py
