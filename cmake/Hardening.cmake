# SPDX-License-Identifier: MIT
# Sanitizers, coverage and the flags of a shipped build, on one interface target.
add_library(mb_hardening INTERFACE)

if(MB_SANITIZE)
    target_compile_options(
        mb_hardening INTERFACE -fsanitize=${MB_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(mb_hardening INTERFACE -fsanitize=${MB_SANITIZE})
elseif(MB_HARDEN)
    include(CheckPIESupported)
    check_pie_supported()
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)
    target_compile_options(mb_hardening INTERFACE -fstack-protector-strong)
    # Without optimisation the libc only warns about this macro. Some compilers define it by themselves.
    target_compile_options(
        mb_hardening INTERFACE $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
    if(NOT APPLE)
        target_link_options(mb_hardening INTERFACE -Wl,-z,relro,-z,now)
    endif()
endif()

if(MB_COVERAGE)
    target_compile_options(mb_hardening INTERFACE --coverage -O0)
    target_link_options(mb_hardening INTERFACE --coverage)
endif()
