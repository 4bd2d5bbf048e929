# SPDX-License-Identifier: MIT

# mb_test(name [SOURCES files] [USES layers] [PRIVATE_LIBS targets] [ARGS words] [TIMEOUT seconds])
#
# One executable and one CTest case "<folder>.<name>" under the label <folder>. SOURCES is <name>.c if not
# given. A test sees the whole folder of each layer it USES, not only its public headers.
function(mb_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;USES;PRIVATE_LIBS;ARGS")
    get_filename_component(label "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    if(NOT arg_SOURCES)
        set(arg_SOURCES ${name}.c)
    endif()
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    set(target ${label}_${name})
    add_executable(${target} ${arg_SOURCES})
    mb_common(${target})
    foreach(layer IN LISTS arg_USES)
        if(IS_DIRECTORY "${PROJECT_SOURCE_DIR}/${layer}")
            target_compile_options(${target} PRIVATE "SHELL:-iquote \"${PROJECT_SOURCE_DIR}/${layer}\"")
        endif()
    endforeach()
    list(TRANSFORM arg_USES PREPEND mb_)
    target_link_libraries(${target} PRIVATE mb_harness mb_base ${arg_USES} ${arg_PRIVATE_LIBS})
    add_test(NAME ${label}.${name} COMMAND ${target} ${arg_ARGS})
    set_tests_properties(${label}.${name} PROPERTIES LABELS ${label} TIMEOUT ${arg_TIMEOUT}
                                                           SKIP_RETURN_CODE 77)
endfunction()
