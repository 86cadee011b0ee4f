#!/bin/bash
#SBATCH --nodes=4 --ntasks-per-node=1 --cpus-per-task=32
# One process on each node trains on its own rows; train.py is that of `help(skvae.group)`.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node 1 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head:29500" train.py
