@echo off
rem Runs the Gradle version in gradle\wrapper\gradle-wrapper.properties, downloading it the first time. Requires Java 17.
setlocal
set "JAVA=java"
if defined JAVA_HOME set "JAVA=%JAVA_HOME%\bin\java.exe"
"%JAVA%" -Xmx64m -Dorg.gradle.appname=gradlew -jar "%~dp0gradle\wrapper\gradle-wrapper.jar" %*
exit /b %ERRORLEVEL%
