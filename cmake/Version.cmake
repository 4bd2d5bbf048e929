# SPDX-License-Identifier: MIT
# The version is written in one place, the file VERSION.
set(MB_VERSION_FILE "${CMAKE_CURRENT_LIST_DIR}/../VERSION")
file(STRINGS "${MB_VERSION_FILE}" MB_VERSION LIMIT_COUNT 1)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${MB_VERSION_FILE}")

# Makes version.h (MB_VERSION) in the build tree, for those that say "USES version".
function(mb_version_header)
    set(folder "${CMAKE_BINARY_DIR}/include/version")
    file(CONFIGURE OUTPUT "${folder}/version.h" @ONLY CONTENT [[
/* SPDX-License-Identifier: MIT */
#ifndef MB_VERSION_H
#define MB_VERSION_H

#define MB_VERSION "@MB_VERSION@"

#endif
]])
    add_library(mb_version INTERFACE)
    target_compile_options(mb_version INTERFACE "SHELL:-iquote \"${folder}\"")
endfunction()
