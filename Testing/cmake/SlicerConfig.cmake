# Stands in for Slicer's build tree, so that CMake can configure, build and install this extension where there is none:
# -DSlicer_DIR=Testing/cmake. It does what decides whether an installed extension is complete: files that are listed are
# copied to where Slicer looks for them, a listed file that is missing is an error, a file that is not listed is left
# behind. It neither compiles, tests nor packs.

set(Slicer_VERSION "5.13")
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionGenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/SlicerExtensionCPack.cmake")
