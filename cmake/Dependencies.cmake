# SPDX-License-Identifier: MIT
# The libraries we stand on, with the oldest versions we are tested with.
find_package(OpenSSL 1.1.1 REQUIRED COMPONENTS Crypto)
find_package(SQLite3 3.35.0 REQUIRED)

# mb_find_library(name HEADER file LIBRARY name VERSION_PREFIX macro-prefix MINIMUM version)
#
# Makes the target mb::<name>. Neither library has a CMake package everywhere, and pkg-config is not on
# every machine, so this looks for the files and reads the version from the header's macros.
function(mb_find_library name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "HEADER;LIBRARY;VERSION_PREFIX;MINIMUM" "")
    find_path(MB_${name}_INCLUDE ${arg_HEADER})
    find_library(MB_${name}_LIBRARY ${arg_LIBRARY})
    if(NOT MB_${name}_INCLUDE OR NOT MB_${name}_LIBRARY)
        message(FATAL_ERROR "${name} was not found: install its development package "
                            "(Debian: lib${name}-dev; Alpine: ${name}-dev; Homebrew: ${name})")
    endif()
    set(version "")
    foreach(part IN ITEMS MAJOR MINOR "(PATCH|RELEASE)")
        file(STRINGS "${MB_${name}_INCLUDE}/${arg_HEADER}" line
             REGEX "define +${arg_VERSION_PREFIX}_VERSION_${part} +[0-9]+")
        string(REGEX MATCH "[0-9]+ *$" number "${line}")
        string(STRIP "${number}" number)
        list(APPEND version "${number}")
    endforeach()
    list(JOIN version "." version)
    if(version VERSION_LESS arg_MINIMUM)
        message(FATAL_ERROR "${name} is ${version}; at least ${arg_MINIMUM} is needed")
    endif()
    add_library(mb::${name} UNKNOWN IMPORTED GLOBAL)
    set_target_properties(mb::${name} PROPERTIES IMPORTED_LOCATION "${MB_${name}_LIBRARY}"
                                                 INTERFACE_INCLUDE_DIRECTORIES "${MB_${name}_INCLUDE}")
    message(STATUS "Found ${name} ${version}: ${MB_${name}_LIBRARY}")
endfunction()

mb_find_library(cjson HEADER cjson/cJSON.h LIBRARY cjson VERSION_PREFIX CJSON MINIMUM 1.7.13)
mb_find_library(zstd HEADER zstd.h LIBRARY zstd VERSION_PREFIX ZSTD MINIMUM 1.4.0)
