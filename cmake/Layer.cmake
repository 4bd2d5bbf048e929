# SPDX-License-Identifier: MIT

# What all our targets have in common.
function(mb_common target)
    set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
    target_link_libraries(${target} PRIVATE mb_warnings mb_hardening)
endfunction()

# mb_layer(name SOURCES files [USES layers] [PUBLIC_HEADERS files] [PRIVATE_LIBS targets])
#
# A layer is a static library mb_<name>. USES is not transitive: a layer sees the headers of exactly the layers
# it names, so that an include against the arrows does not compile. PUBLIC_HEADERS are what others see of it;
# without them it is the whole folder.
#
# Folders are given with -iquote, not -I: base/assert.h and base/limits.h must not stand in for the system's.
function(mb_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;USES;PUBLIC_HEADERS;PRIVATE_LIBS")
    set(folder "${CMAKE_CURRENT_SOURCE_DIR}")
    if(arg_PUBLIC_HEADERS)
        set(folder "${CMAKE_BINARY_DIR}/include/${name}")
        file(MAKE_DIRECTORY "${folder}")
        foreach(header IN LISTS arg_PUBLIC_HEADERS)
            file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}/${header}" "${folder}/${header}"
                 COPY_ON_ERROR SYMBOLIC)
        endforeach()
    endif()
    add_library(mb_${name} STATIC ${arg_SOURCES})
    mb_common(mb_${name})
    target_compile_options(mb_${name} INTERFACE "SHELL:-iquote \"${folder}\"")
    list(TRANSFORM arg_USES PREPEND mb_)
    target_link_libraries(mb_${name} PRIVATE ${arg_USES} ${arg_PRIVATE_LIBS})
endfunction()

# mb_program(name SOURCES files USES layers): an installed executable.
function(mb_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;USES;PRIVATE_LIBS")
    add_executable(${name} ${arg_SOURCES})
    mb_common(${name})
    list(TRANSFORM arg_USES PREPEND mb_)
    target_link_libraries(${name} PRIVATE ${arg_USES} ${arg_PRIVATE_LIBS})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}")
    install(TARGETS ${name} RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
endfunction()
