/* SPDX-License-Identifier: MIT */
/* Numbers from a seed: splitmix64. */
#include "sim.h"

#include "banned.h"

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

void sim_random_init(struct sim_random *random, uint64_t seed)
{
    random->state = mix(seed + 0x9e3779b97f4a7c15u);
}

uint64_t sim_random_next(struct sim_random *random)
{
    random->state += 0x9e3779b97f4a7c15u;
    return mix(random->state);
}

unsigned sim_random_below(struct sim_random *random, unsigned bound)
{
    return bound == 0 ? 0 : (unsigned)(sim_random_next(random) % bound);
}

bool sim_random_chance(struct sim_random *random, unsigned percent)
{
    return sim_random_below(random, 100) < percent;
}

uint64_t sim_random_mix(uint64_t a, uint64_t b)
{
    return mix(mix(a + 0x9e3779b97f4a7c15u) ^ b);
}
