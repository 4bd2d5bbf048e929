# SPDX-License-Identifier: MIT
# What every source of ours is compiled with; other people's headers are not held to it.
add_library(mb_warnings INTERFACE)
target_compile_options(
    mb_warnings
    INTERFACE
        -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
        -Wmissing-prototypes -Wold-style-definition -Wvla -Wformat=2 -Wundef -Wwrite-strings
        -Wcast-qual -Wcast-align -Wpointer-arith -Wswitch-enum -Wdouble-promotion -Wnull-dereference
        -Wimplicit-fallthrough -fno-common
        $<$<C_COMPILER_ID:GNU>:-Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wjump-misses-init>
        $<$<BOOL:${MB_WERROR}>:-Werror>)

# POSIX.1-2008 with XSI; the widths matter on 32-bit machines; Apple hides flock() without its own macro.
target_compile_definitions(
    mb_warnings
    INTERFACE _POSIX_C_SOURCE=200809L _XOPEN_SOURCE=700 _FILE_OFFSET_BITS=64 _TIME_BITS=64
              $<$<PLATFORM_ID:Darwin>:_DARWIN_C_SOURCE>)
